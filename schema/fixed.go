package schema

// MariaDB has types of a fixed number of bytes that everybody reads and writes
// as text. Columns of them are a CHAR here, or a VARCHAR, whose Subtype is the
// type's name.

// The subtypes of text.
const (
	SubtypeUUID  = "uuid"
	SubtypeINET4 = "inet4"
	SubtypeINET6 = "inet6"
)

// SetFixed makes c a column of one of these types; false if name is none.
func (c *Column) SetFixed(name string) bool {
	switch name {
	case SubtypeUUID:
		c.Type, c.Length = TypeChar, 36
	case SubtypeINET4:
		c.Type, c.Length = TypeVarchar, 15
	case SubtypeINET6:
		c.Type, c.Length = TypeVarchar, 45
	default:
		return false
	}
	c.Subtype, c.Charset, c.Collation = name, "ascii", "ascii_general_ci"
	return true
}

// FixedSize returns the bytes of a value of c at the server, 0 if c is of none of
// these types.
func (c *Column) FixedSize() int {
	if !c.Type.IsText() {
		return 0
	}
	switch c.Subtype {
	case SubtypeUUID, SubtypeINET6:
		return 16
	case SubtypeINET4:
		return 4
	}
	return 0
}
