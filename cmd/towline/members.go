package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/towline/towline/connect/herder"
)

const clusterUsage = `towline cluster members    the workers of a running towline, and their leases
towline cluster tasks      which worker runs which task, and which is to
`

func clusterCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	show := func(print func(herder.Cluster, io.Writer) error) verb {
		return verb{0, func(ctx context.Context, c *client, _ []string, out io.Writer) error {
			var all herder.Cluster
			answer, err := c.into(ctx, "/v1/cluster", &all)
			if err != nil || c.json {
				return told(c, out, "")(answer, err)
			}
			return print(all, out)
		}}
	}
	return verbs(ctx, "cluster", clusterUsage, map[string]verb{"members": show(printMembers), "tasks": show(printAssignments)},
		flag.NewFlagSet("towline cluster", flag.ContinueOnError), args, out, errOut)
}

func printMembers(c herder.Cluster, out io.Writer) error {
	fmt.Fprintf(out, "cluster %s, %s\n\n", c.ID, c.Mode)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WORKER\tSTATE\tTASKS\tHEARD OF\tLEASE\tSTRATEGY")
	for _, m := range c.Members {
		heard, lease, strategy := "-", "-", "-" // of one alone
		if l := m.Lease; l != nil {
			heard, lease, strategy = fmt.Sprintf("%.1f s ago", float64(l.Heard)/1000), fmt.Sprintf("%.1f s", float64(l.Session)/1000), l.Strategy
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\n", m.Worker, m.State, m.Tasks, heard, lease, strategy)
	}
	return tw.Flush()
}

func printAssignments(c herder.Cluster, out io.Writer) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TASK\tSTATE\tWORKER\tASSIGNED TO\tEPOCH")
	for _, a := range c.Assignments {
		epoch := "-"
		if a.Epoch > 0 {
			epoch = fmt.Sprint(a.Epoch)
		}
		fmt.Fprintf(tw, "%s-%d\t%s\t%s\t%s\t%s\n", a.Connector, a.Task, a.State, cmp.Or(a.Worker, "nobody"), cmp.Or(a.Assigned, "nobody"), epoch)
	}
	return tw.Flush()
}
