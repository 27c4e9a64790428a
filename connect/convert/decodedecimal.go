package convert

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// readDecimal reads Kafka Connect's Decimal: a string in base64, or a number.
func readDecimal(dst *connect.Batch, d *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	if s.peek() != '"' {
		return readDecimalText(dst, d, s, c)
	}
	b, err := base64Text(dst, s)
	if err != nil {
		return schema.Value{}, err
	}
	return unscaledValue(dst, b, c)
}

// unscaledValue makes a value of the bytes of Kafka Connect's Decimal.
func unscaledValue(dst *connect.Batch, b []byte, c *schema.Column) (schema.Value, error) {
	if len(b) == 0 || len(b) > 28 {
		return schema.Value{}, fmt.Errorf("%d bytes of a decimal are not 1 to 28", len(b))
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if c.Type.IsInteger() {
		if !n.IsUint64() {
			return schema.Value{}, fmt.Errorf("%s is not an unsigned number of 64 bits", n)
		}
		return schema.MakeUint(n.Uint64()), nil
	}
	var buf [80]byte
	return decimalValue(dst, append(append(buf[:0], n.String()...), 'e', '-', byte('0'+c.Scale/10), byte('0'+c.Scale%10)), c)
}

// readDecimalText reads a decimal that is a number or a string of digits.
func readDecimalText(dst *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	var b []byte
	var err error
	if s.peek() == '"' {
		b, _, err = s.quoted()
	} else {
		b, err = s.number()
	}
	if err != nil {
		return schema.Value{}, err
	}
	return digitsValue(dst, b, c)
}

// digitsValue makes a value of the digits of a decimal.
func digitsValue(dst *connect.Batch, b []byte, c *schema.Column) (schema.Value, error) {
	if c.Type.IsInteger() {
		n, err := strconv.ParseUint(text(b), 10, 64)
		if err != nil {
			return schema.Value{}, fmt.Errorf("%q is not an unsigned number of 64 bits", b)
		}
		return schema.MakeUint(n), nil
	}
	return decimalValue(dst, b, c)
}

// decimalValue makes a value of a number with or without point and exponent.
func decimalValue(dst *connect.Batch, b []byte, c *schema.Column) (schema.Value, error) {
	p, err := canonical(dst.Scratch(80), b, c.Scale)
	if err != nil {
		return schema.Value{}, err
	}
	digits := 0 // that count
	for _, ch := range p {
		if ch >= '1' && ch <= '9' || ch == '0' && digits > 0 {
			digits++
		}
	}
	if digits > c.Precision {
		return schema.Value{}, fmt.Errorf("%q is more than a decimal(%d,%d) holds", b, c.Precision, c.Scale)
	}
	return schema.ParseDecimal(dst.Use(p), c.Precision, c.Scale)
}

// canonical appends a number with exactly scale digits behind its point.
func canonical(dst, b []byte, scale int) ([]byte, error) {
	bad := func() error { return fmt.Errorf("%q is not a decimal of scale %d", string(b), scale) }
	neg := len(b) > 0 && b[0] == '-'
	num := b
	if neg {
		num = num[1:]
	}
	var digits [160]byte
	n, point, seen, exp := 0, 0, false, 0
	for i, c := range num {
		switch {
		case c >= '0' && c <= '9' && n < 80:
			if n > 0 || c != '0' { // leading zeros count for the point alone
				digits[n] = c
				n++
			}
			if seen {
				point++
			}
			continue
		case c == '.' && !seen:
			seen = true
			continue
		case (c == 'e' || c == 'E') && i > 0:
			var err error
			if exp, err = strconv.Atoi(string(num[i+1:])); err != nil || exp > 80 || exp < -80 {
				return nil, bad()
			}
		default:
			return nil, bad()
		}
		break
	}
	if len(num) == 0 || num[0] == '.' || num[0] == 'e' || num[0] == 'E' {
		return nil, bad()
	}
	for shift := scale - point + exp; shift != 0 && n > 0; {
		if shift > 0 && n < len(digits) {
			digits[n] = '0'
			n++
			shift--
			continue
		}
		if n == len(digits) || digits[n-1] != '0' {
			return nil, bad()
		}
		n--
		shift++
	}
	if neg && n > 0 {
		dst = append(dst, '-')
	}
	if n <= scale {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:n-scale]...)
	}
	if scale > 0 {
		dst = append(dst, '.')
		for i := n; i < scale; i++ {
			dst = append(dst, '0')
		}
		dst = append(dst, digits[max(n-scale, 0):n]...)
	}
	return dst, nil
}
