package herder

import (
	"errors"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

// Texts of errors, Kafka Connect's where it has one.
const (
	NotFoundText   = "Connector %s not found"
	UnknownText    = "Unknown connector %s"
	NoStatusText   = "No status found for connector %s"
	NotStoppedText = "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector " +
		"by issuing a 'PUT' request to the '/connectors/%s/stop' endpoint"
	FaultyText = "Connector %s cannot be looked into: %s"
)

// Build checks a configuration; its faults are those of the caller.
func Build(reg *config.Registry, name string, raw map[string]string) (*config.Connector, error) {
	c, err := config.Build(reg, &config.File{Name: name, Config: raw})
	var faults *connect.ConfigError
	if !errors.As(err, &faults) {
		return c, err
	}
	lines := make([]string, len(faults.Faults))
	for i, f := range faults.Faults {
		lines[i] = strings.TrimPrefix(f.Key+": "+f.Text, ": ")
	}
	return nil, Errorf(Invalid, "Connector configuration is invalid and contains the following %d error(s):\n%s\n"+
		"You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`", len(lines), strings.Join(lines, "\n"))
}

// Cleaned returns a configuration that was sent for a connector, in place of
// kept, without its name and with the secrets that it stands for.
func Cleaned(name string, kept, sent map[string]string) (map[string]string, error) {
	if own, ok := sent["name"]; ok && own != name {
		return nil, Errorf(Invalid, "Connector name configuration (%s) doesn't match connector name in the URL (%s)", own, name)
	}
	raw, err := Unhide(kept, sent)
	if err != nil {
		return nil, err
	}
	delete(raw, "name")
	return raw, nil
}
