package schema

// Civil is a calendar date and time of day without a zone. Month and Day may
// be 0: MySQL stores zero and partial dates, and we carry them.
type Civil struct {
	Year, Month, Day     int
	Hour, Minute, Second int
	Micro                int
}

// IsZero reports whether c is 0000-00-00 00:00:00.
func (c Civil) IsZero() bool { return c == Civil{} }

// MakeDate returns a Date.
func MakeDate(year, month, day int) Value {
	return Value{num: pack(Civil{Year: year, Month: month, Day: day}), kind: Date}
}

// MakeDateTime returns a DateTime with fsp fractional digits (0 to 6).
func MakeDateTime(c Civil, fsp int) Value {
	return Value{num: pack(c), aux: uint32(fsp), kind: DateTime}
}

// MakeTimestamp returns the instant micros microseconds after 1970-01-01 UTC;
// 0 stands for MySQL's zero timestamp, which no other value takes.
func MakeTimestamp(micros int64, fsp int) Value {
	return Value{num: uint64(micros), aux: uint32(fsp), kind: Timestamp}
}

// MakeTime returns a signed duration.
func MakeTime(micros int64, fsp int) Value {
	return Value{num: uint64(micros), aux: uint32(fsp), kind: Time}
}

// Civil returns the fields of a Date or DateTime.
func (v Value) Civil() Civil {
	if v.kind != Date && v.kind != DateTime {
		panic("schema: Civil of " + v.kind.String())
	}
	return unpack(v.num)
}

// Micros returns the microseconds of a Time or Timestamp.
func (v Value) Micros() int64 {
	if v.kind != Time && v.kind != Timestamp {
		panic("schema: Micros of " + v.kind.String())
	}
	return int64(v.num)
}

// FSP returns the number of fractional digits (0 to 6) of a temporal value.
func (v Value) FSP() int { return int(v.aux) }

// EpochMicros returns a Date, DateTime or Timestamp as microseconds since
// 1970-01-01, a Date and a DateTime read as if they were UTC. ok is false for
// zero and partial dates, which no instant stands for.
func (v Value) EpochMicros() (micros int64, ok bool) {
	if v.kind == Timestamp {
		return int64(v.num), v.num != 0
	}
	c := v.Civil()
	if c.Month == 0 || c.Day == 0 {
		return 0, false
	}
	secs := DaysFromCivil(c.Year, c.Month, c.Day)*86400 + int64(c.Hour*3600+c.Minute*60+c.Second)
	return secs*1e6 + int64(c.Micro), true
}

// DaysFromCivil returns the days since 1970-01-01 of a date of the proleptic
// Gregorian calendar.
func DaysFromCivil(year, month, day int) int64 {
	y := int64(year)
	if month <= 2 {
		y--
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	mp := int64(month+9) % 12
	doy := (153*mp+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

// CivilFromMicros returns the UTC date and time of an instant.
func CivilFromMicros(micros int64) Civil {
	secs, us := micros/1e6, micros%1e6
	if us < 0 {
		us += 1e6
		secs--
	}
	days, sod := secs/86400, secs%86400
	if sod < 0 {
		sod += 86400
		days--
	}
	c := civilFromDays(days)
	c.Hour, c.Minute, c.Second, c.Micro = int(sod/3600), int(sod/60%60), int(sod%60), int(us)
	return c
}

func civilFromDays(days int64) Civil {
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	c := Civil{Day: int(doy - (153*mp+2)/5 + 1), Month: int(mp + 3), Year: int(yoe + era*400)}
	if c.Month > 12 {
		c.Month -= 12
		c.Year++
	}
	return c
}

// The packed form keeps the order of the values: year*13+month, day, hour,
// minute, second, microsecond in 18, 5, 5, 6, 6 and 20 bits.
func pack(c Civil) uint64 {
	ymd := uint64(c.Year*13+c.Month)<<5 | uint64(c.Day)
	return ((ymd<<17|uint64(c.Hour)<<12|uint64(c.Minute)<<6|uint64(c.Second))<<20 | uint64(c.Micro))
}

func unpack(p uint64) Civil {
	us := int(p & (1<<20 - 1))
	p >>= 20
	ymd := p >> 17
	ym := int(ymd >> 5)
	return Civil{
		Year: ym / 13, Month: ym % 13, Day: int(ymd & 31),
		Hour: int(p >> 12 & 31), Minute: int(p >> 6 & 63), Second: int(p & 63), Micro: us,
	}
}

// MakePackedDateTime returns a DateTime from MySQL's own packed fields, as a
// row event has them: hi is year*13+month, day, hour, minute and second in
// 17, 5, 5, 6 and 6 bits.
func MakePackedDateTime(hi uint64, micro uint32, fsp int) Value {
	return Value{num: hi<<20 | uint64(micro), aux: uint32(fsp), kind: DateTime}
}
