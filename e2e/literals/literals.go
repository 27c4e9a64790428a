// Package literals makes random values of every column type, as SQL, for tests that
// hold what arrives against what the server says that it has.
package literals

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Type is a column type and makes literals for it.
type Type struct {
	SQL     string
	Literal func(r *rand.Rand) string
}

// Types are types of all kinds. Their columns take NULL.
var Types = []Type{
	{"TINYINT", ints(8, false)}, {"TINYINT UNSIGNED", ints(8, true)}, {"SMALLINT", ints(16, false)}, {"SMALLINT UNSIGNED", ints(16, true)},
	{"MEDIUMINT", ints(24, false)}, {"MEDIUMINT UNSIGNED", ints(24, true)}, {"INT", ints(32, false)}, {"INT UNSIGNED", ints(32, true)},
	{"BIGINT", ints(64, false)}, {"BIGINT UNSIGNED", ints(64, true)},
	{"FLOAT", func(r *rand.Rand) string { return strconv.FormatFloat(float64(float32Of(r)), 'e', -1, 32) }},
	{"DOUBLE", func(r *rand.Rand) string { return strconv.FormatFloat(Float(r), 'e', -1, 64) }},
	{"DECIMAL(1,1)", decimals(0, 1)}, {"DECIMAL(7,3)", decimals(4, 3)}, {"DECIMAL(12,2)", decimals(10, 2)}, {"DECIMAL(18,9)", decimals(9, 9)},
	{"DECIMAL(18,4)", decimals(14, 4)}, {"DECIMAL(17,16)", decimals(1, 16)}, {"DECIMAL(18,0)", decimals(18, 0)},
	{"DECIMAL(19,2)", decimals(17, 2)}, {"DECIMAL(38,20)", decimals(18, 20)}, {"DECIMAL(65,30)", decimals(35, 30)}, {"DECIMAL(65,2)", decimals(63, 2)},
	{"BIT(7)", bitLiterals(7)}, {"BIT(20)", bitLiterals(20)}, {"BIT(64)", bitLiterals(64)}, {"YEAR", func(r *rand.Rand) string { return strconv.Itoa(1901 + r.IntN(255)) }},
	{"DATE", func(r *rand.Rand) string {
		return fmt.Sprintf("'%04d-%02d-%02d'", r.IntN(10000), r.IntN(13), r.IntN(29))
	}},
	{"TIME", times(0)}, {"TIME(1)", times(1)}, {"TIME(2)", times(2)}, {"TIME(3)", times(3)}, {"TIME(4)", times(4)}, {"TIME(5)", times(5)}, {"TIME(6)", times(6)},
	{"DATETIME", datetimes(0)}, {"DATETIME(1)", datetimes(1)}, {"DATETIME(2)", datetimes(2)}, {"DATETIME(3)", datetimes(3)},
	{"DATETIME(4)", datetimes(4)}, {"DATETIME(5)", datetimes(5)}, {"DATETIME(6)", datetimes(6)},
	{"TIMESTAMP NULL", stamps(0)}, {"TIMESTAMP(1) NULL", stamps(1)}, {"TIMESTAMP(3) NULL", stamps(3)}, {"TIMESTAMP(6) NULL", stamps(6)},
	{"CHAR(20)", texts(20)}, {"CHAR(100)", texts(100)}, {"VARCHAR(30)", texts(30)}, {"VARCHAR(500)", texts(500)}, {"TEXT", texts(2000)},
	{"VARCHAR(50) CHARACTER SET latin1", texts(50)}, {"TEXT CHARACTER SET utf16", texts(100)}, {"CHAR(30) CHARACTER SET gbk", texts(30)},
	{"VARCHAR(30) CHARACTER SET utf8mb3", texts(30)}, {"VARCHAR(30) CHARACTER SET sjis", texts(30)},
	{"BINARY(12)", blobs(12)}, {"BINARY(255)", blobs(255)}, {"VARBINARY(40)", blobs(40)}, {"VARBINARY(300)", blobs(300)}, {"TINYBLOB", blobs(255)}, {"LONGBLOB", blobs(1000)},
	{"ENUM('a','b','c','d')", func(r *rand.Rand) string { return strconv.Itoa(1 + r.IntN(4)) }},
	{"SET('a','b','c','d','e','f','g','h','i','j')", func(r *rand.Rand) string { return strconv.Itoa(r.IntN(1024)) }},
	{"GEOMETRY", func(r *rand.Rand) string {
		return fmt.Sprintf("ST_GeomFromText('POINT(%d %d)', %d)", r.IntN(90), r.IntN(90), 4326*r.IntN(2))
	}},
	{"VECTOR(4)", func(r *rand.Rand) string {
		return fmt.Sprintf("STRING_TO_VECTOR('[%d,%d,0.5,1e-3]')", r.IntN(90), -r.IntN(90))
	}},
	{"JSON", func(r *rand.Rand) string { return JSON(r, 4) }},
}

func ints(bits uint, unsigned bool) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		v := r.Uint64() >> (64 - bits) >> r.UintN(bits)
		if unsigned {
			return strconv.FormatUint(v, 10)
		}
		return strconv.FormatInt(int64(v>>1)*int64(1-2*r.IntN(2)), 10)
	}
}

// Float returns a number of any size that a DOUBLE holds.
func Float(r *rand.Rand) float64 {
	switch r.IntN(5) {
	case 0:
		return float64(r.IntN(2000000)-1000000) / 100
	case 1:
		return float64(r.Int64N(1e18)) / math.Pow10(r.IntN(36))
	case 2:
		return r.NormFloat64()
	case 3:
		return float64(r.IntN(1000)) * math.Pow10(r.IntN(40)-20)
	}
	for {
		if f := math.Float64frombits(r.Uint64()); f-f == 0 && math.Abs(f) > 1e-300 {
			return f
		}
	}
}

func float32Of(r *rand.Rand) float32 {
	for {
		if f := math.Float32frombits(r.Uint32()); f-f == 0 && math.Abs(float64(f)) > 1e-37 {
			return f
		}
	}
}

func digits(r *rand.Rand, n int) string {
	b := make([]byte, n)
	zeros := r.IntN(n + 1)
	for i := range b {
		b[i] = '0'
		if i >= zeros || r.IntN(9) == 0 {
			b[i] = byte('0' + r.IntN(10))
		}
	}
	return string(b)
}

func decimals(whole, frac int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		s := []string{"", "-"}[r.IntN(2)]
		return "'" + s + digits(r, whole) + "." + digits(r, frac) + "'"
	}
}

func bitLiterals(n uint) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return "b'" + strconv.FormatUint(r.Uint64()>>(64-n), 2) + "'" }
}

func fraction(r *rand.Rand, fsp int) string {
	if fsp == 0 || r.IntN(4) == 0 {
		return ""
	}
	return "." + digits(r, fsp)
}

func times(fsp int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		s := []string{"", "-"}[r.IntN(2)]
		return fmt.Sprintf("'%s%02d:%02d:%02d%s'", s, r.IntN(838)>>r.IntN(10), r.IntN(60), r.IntN(60), fraction(r, fsp))
	}
}

func datetimes(fsp int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		return fmt.Sprintf("'%04d-%02d-%02d %02d:%02d:%02d%s'", r.IntN(10000), r.IntN(13), r.IntN(29), r.IntN(24), r.IntN(60), r.IntN(60), fraction(r, fsp))
	}
}

func stamps(fsp int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		return time.Unix(1+r.Int64N(1<<31-2), 0).UTC().Format("'2006-01-02 15:04:05") + fraction(r, fsp) + "'"
	}
}

// texts makes text that latin1, gbk, sjis and the rest all have, mostly.
func texts(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		b := make([]byte, r.IntN(n+1))
		for i := range b {
			b[i] = byte(' ' + r.IntN(95))
		}
		if len(b) > 4 && r.IntN(3) == 0 {
			copy(b, []string{"é", "ü ", "Ж"}[r.IntN(3)])
		}
		return "CONVERT(x'" + hex.EncodeToString(b) + "' USING utf8mb4)"
	}
}

func blobs(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		b := make([]byte, r.IntN(n+1))
		for i := range b {
			b[i] = byte(r.Uint32()) * byte(r.IntN(2))
		}
		return "x'" + hex.EncodeToString(b) + "'"
	}
}

// JSON returns an expression for a document of at most depth levels, with values of
// all types that the server puts into one.
func JSON(r *rand.Rand, depth int) string {
	switch k := r.IntN(16); {
	case k < 4 && depth > 0:
		parts := make([]string, r.IntN(6))
		for i := range parts {
			parts[i] = JSON(r, depth-1)
		}
		return "JSON_ARRAY(" + strings.Join(parts, ",") + ")"
	case k < 8 && depth > 0:
		var parts []string
		for range r.IntN(6) {
			parts = append(parts, texts(12)(r), JSON(r, depth-1))
		}
		return "JSON_OBJECT(" + strings.Join(parts, ",") + ")"
	case k == 8:
		return "CAST('" + strconv.FormatFloat(Float(r), 'g', -1, 64) + "' AS JSON)"
	case k == 9:
		return "CAST('" + []string{"true", "false", "null"}[r.IntN(3)] + "' AS JSON)"
	case k == 10:
		return "CAST(CAST(" + decimals(20, 10)(r) + " AS DECIMAL(30,10)) AS JSON)"
	case k == 11:
		return "CAST(CAST(" + []string{times(6)(r) + " AS TIME(6)", stamps(6)(r) + " AS DATETIME(6)", stamps(0)(r) + " AS DATE"}[r.IntN(3)] + ") AS JSON)"
	case k == 12:
		return "CAST(" + blobs(120)(r) + " AS JSON)"
	case k == 13:
		b := make([]byte, r.IntN(300))
		for i := range b {
			b[i] = byte(r.IntN(128))
		}
		return "CAST(JSON_QUOTE(CONVERT(x'" + hex.EncodeToString(b) + "' USING utf8mb4)) AS JSON)"
	case k == 14:
		return "CAST(" + ints(64, true)(r) + " AS JSON)"
	}
	return "CAST(" + ints(uint(2+r.IntN(63)), false)(r) + " AS JSON)"
}
