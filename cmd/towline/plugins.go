package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

func pluginsCommand(_ context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline plugins", flag.ContinueOnError)
	markdown := fs.Bool("markdown", false, "print the reference of all options")
	rest, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	reg := registry()
	if *markdown {
		return writeReference(out, reg)
	}
	if len(rest) == 0 {
		listPlugins(out, reg)
		return nil
	}
	for _, name := range rest {
		p, options, ok := findPlugin(reg, name)
		if !ok {
			return usageError{fmt.Sprintf("there is no plug-in %q; towline plugins lists them", name)}
		}
		fmt.Fprintf(out, "%s: %s\n", p.Name, p.Doc)
		for _, o := range options {
			fmt.Fprintf(out, "\n  %s  (%s)\n      %s\n", o.Name, facts(&o), plain(o.Doc))
		}
	}
	return nil
}

// sections are the kinds of plug-ins, in the order of the reference.
func sections(reg *config.Registry) []section {
	var sources, sinks []connect.Plugin
	for _, p := range reg.Connectors {
		if p.Source != nil {
			sources = append(sources, p)
		} else {
			sinks = append(sinks, p)
		}
	}
	return []section{{"Sources", sources}, {"Sinks", sinks}, {"Converters", reg.Converters}, {"Transforms", reg.Transforms}, {"Predicates", reg.Predicates}}
}

type section struct {
	title   string
	plugins []connect.Plugin
}

func listPlugins(out io.Writer, reg *config.Registry) {
	for _, s := range sections(reg) {
		fmt.Fprintln(out, s.title)
		for _, p := range s.plugins {
			fmt.Fprintf(out, "  %-24s %s\n", p.Name, plain(p.Doc))
			for _, a := range p.Aliases {
				fmt.Fprintf(out, "  %-24s   also %s\n", "", a)
			}
		}
	}
}

// findPlugin returns a plug-in with all options that a configuration of it
// may have.
func findPlugin(reg *config.Registry, name string) (connect.Plugin, []connect.Option, bool) {
	if p, ok := config.Find(reg.Connectors, name); ok {
		side := config.SinkOnly()
		if p.Source != nil {
			side = config.SourceOnly()
		}
		return p, append(append(append([]connect.Option(nil), p.Options...), config.Common()...), side...), true
	}
	for _, set := range [][]connect.Plugin{reg.Transforms, reg.Predicates, reg.Converters} {
		if p, ok := config.Find(set, name); ok {
			return p, p.Options, true
		}
	}
	return connect.Plugin{}, nil, false
}

func facts(o *connect.Option) string {
	f := []string{strings.ToLower(string(o.Type))}
	switch {
	case o.Required:
		f = append(f, "required")
	case o.Default != "":
		f = append(f, "default "+o.Default)
	}
	if len(o.Values) > 0 {
		f = append(f, "one of "+strings.Join(o.Values, ", "))
	}
	if o.Max > o.Min {
		f = append(f, fmt.Sprintf("%d to %d", o.Min, o.Max))
	}
	if len(o.Aliases) > 0 {
		f = append(f, "also "+strings.Join(o.Aliases, ", "))
	}
	return strings.Join(f, "; ")
}

func plain(doc string) string { return strings.ReplaceAll(doc, "`", "") }

// writeReference prints the reference of all options in Markdown.
func writeReference(out io.Writer, reg *config.Registry) error {
	fmt.Fprint(out, "# Options\n\nMade from the declarations in the code by `towline plugins -markdown`; do not edit.\n")
	for _, s := range sections(reg) {
		fmt.Fprintf(out, "\n## %s\n", s.title)
		for _, p := range s.plugins {
			fmt.Fprintf(out, "\n### %s\n\n%s\n", p.Name, p.Doc)
			if len(p.Aliases) > 0 {
				fmt.Fprintf(out, "\nAlso: `%s`\n", strings.Join(p.Aliases, "`, `"))
			}
			writeOptions(out, p.Options)
		}
	}
	fmt.Fprint(out, "\n## Options of all connectors\n")
	writeOptions(out, config.Common())
	fmt.Fprint(out, "\n## Options of all sources\n")
	writeOptions(out, config.SourceOnly())
	fmt.Fprint(out, "\n## Options of all sinks\n")
	writeOptions(out, config.SinkOnly())
	return nil
}

func writeOptions(out io.Writer, options []connect.Option) {
	if len(options) > 0 {
		fmt.Fprintln(out)
	}
	for _, o := range options {
		fmt.Fprintf(out, "- `%s` (%s): %s\n", o.Name, facts(&o), o.Doc)
	}
}
