package rest

import (
	"net/http"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
)

// pluginInfo is a plug-in; the names are Kafka Connect's.
type pluginInfo struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	Version string `json:"version"`
}

// keyInfo is what is declared of a key.
type keyInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Required      bool     `json:"required"`
	DefaultValue  *string  `json:"default_value"`
	Importance    string   `json:"importance"`
	Documentation string   `json:"documentation"`
	Group         *string  `json:"group"`
	Order         int      `json:"order"`
	Width         string   `json:"width"`
	DisplayName   string   `json:"display_name"`
	Dependents    []string `json:"dependents"`
}

// valueInfo is what a key was given.
type valueInfo struct {
	Name              string   `json:"name"`
	Value             *string  `json:"value"`
	RecommendedValues []string `json:"recommended_values"`
	Errors            []string `json:"errors"`
	Visible           bool     `json:"visible"`
}

// configInfo is both; Definition is nil for a key that nobody knows.
type configInfo struct {
	Definition *keyInfo  `json:"definition"`
	Value      valueInfo `json:"value"`
}

// configInfos is the outcome of a validation.
type configInfos struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []configInfo `json:"configs"`
}

func kindOf(p *connect.Plugin) string {
	switch {
	case p.Source != nil:
		return "source"
	case p.Sink != nil:
		return "sink"
	case p.Transform != nil:
		return "transformation"
	case p.Predicate != nil:
		return "predicate"
	}
	return "converter"
}

func (c *call) plugins() error {
	reg := c.h.opts.Registry
	sets := [][]connect.Plugin{reg.Connectors}
	if !c.flag("connectorsOnly", true) {
		sets = append(sets, reg.Converters, reg.Transforms, reg.Predicates)
	}
	list := []pluginInfo{}
	for _, set := range sets {
		for i := range set {
			list = append(list, pluginInfo{set[i].Name, kindOf(&set[i]), c.h.opts.Version})
		}
	}
	return c.reply(http.StatusOK, list)
}

// find returns the plug-in of a class: a name, an alias, or either without
// "Connector" at its end.
func find(set []connect.Plugin, class string) (connect.Plugin, bool) {
	if p, ok := config.Find(set, class); ok {
		return p, true
	}
	return config.Find(set, class+"Connector")
}

func (c *call) pluginConfig() error {
	class := c.r.PathValue("plugin")
	reg := c.h.opts.Registry
	if p, ok := find(reg.Connectors, class); ok {
		return c.reply(http.StatusOK, definitions(reg.OptionsOf(&p)))
	}
	for _, set := range [][]connect.Plugin{reg.Converters, reg.Transforms, reg.Predicates} {
		if p, ok := find(set, class); ok {
			return c.reply(http.StatusOK, definitions(p.Options))
		}
	}
	return herder.Errorf(herder.NotFound, "Unknown plugin %s.", class)
}

func definitions(options []connect.Option) []keyInfo {
	list := []keyInfo{}
	orders := map[string]int{}
	for i := range options {
		list = append(list, *definition(options[i].Name, &options[i], orders))
	}
	return list
}

// definition returns what is declared of a key. orders counts those of each
// group.
func definition(key string, o *connect.Option, orders map[string]int) *keyInfo {
	k := &keyInfo{Name: key, Type: string(o.Type), Required: o.Required, Importance: string(o.Importance), Documentation: o.Doc,
		Width: "MEDIUM", DisplayName: o.Name, Dependents: []string{}}
	if o.Importance == "" {
		k.Importance = string(connect.Medium)
	}
	if !o.Required && o.Default != "" {
		k.DefaultValue = &o.Default
	}
	if o.Group != "" {
		k.Group = &o.Group
	}
	orders[o.Group]++
	k.Order = orders[o.Group]
	return k
}

func (c *call) validate() error {
	cfg, err := c.configBody()
	if err != nil {
		return err
	}
	class := c.r.PathValue("plugin")
	reg := c.h.opts.Registry
	p, ok := find(reg.Connectors, class)
	if !ok {
		return herder.Errorf(herder.NotFound, "Unknown plugin %s.", class)
	}
	if given, ok := cfg["connector.class"]; ok {
		if q, ok := config.Find(reg.Connectors, given); !ok || q.Name != p.Name {
			return badRequest("Included connector type %s does not match request type %s", given, class)
		}
	}
	return c.reply(http.StatusOK, validation(reg, p.Name, cfg))
}

// validation checks a configuration.
func validation(reg *config.Registry, class string, cfg map[string]string) configInfos {
	name, named := cfg["name"]
	delete(cfg, "name")
	if !named {
		name = "unnamed" // a name is no matter of the plug-in
	}
	out := configInfos{Name: class, Groups: []string{}, Configs: []configInfo{}}
	orders, seen := map[string]int{}, map[string]bool{}
	for _, s := range config.Inspect(reg, &config.File{Name: name, Config: cfg}) {
		info := configInfo{Value: valueInfo{Name: s.Key, RecommendedValues: []string{}, Errors: []string{}, Visible: true}}
		if s.Option != nil {
			info.Definition = definition(s.Key, s.Option, orders)
			info.Value.RecommendedValues = append(info.Value.RecommendedValues, s.Option.Values...)
			info.Value.Value = info.Definition.DefaultValue
			if g := s.Option.Group; g != "" && !seen[g] {
				seen[g] = true
				out.Groups = append(out.Groups, g)
			}
		}
		if s.Given {
			info.Value.Value = &s.Value
		}
		info.Value.Errors = append(info.Value.Errors, s.Errors...)
		out.ErrorCount += len(s.Errors)
		out.Configs = append(out.Configs, info)
	}
	return out
}
