package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/snapshot"
)

// Dialer opens a connection and logs in.
type Dialer = func(ctx context.Context, options ...client.Option) (*client.Conn, error)

// Brake is a snapshot.Brake: it asks the source for its load and replicas for
// their lag. What it cannot find out is a reason to rest.
type Brake struct {
	limits   *snapshot.Throttle
	source   probe
	replicas []*probe
}

// probe is a connection to one server.
type probe struct {
	addr string
	dial Dialer
	conn *client.Conn
}

// NewBrake returns a Brake for a source.
func NewBrake(limits *snapshot.Throttle, source Dialer) *Brake {
	return &Brake{limits: limits, source: probe{addr: "the source", dial: source}}
}

// Watch has the Brake look at a replica.
func (b *Brake) Watch(addr string, dial Dialer) {
	b.replicas = append(b.replicas, &probe{addr: "replica " + addr, dial: dial})
}

// lookTimeout bounds one look at all servers.
const lookTimeout = 10 * time.Second

// Look implements snapshot.Brake.
func (b *Brake) Look(ctx context.Context, resting bool) (why string, critical bool) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if why, critical := b.load(ctx, resting); why != "" {
		return why, critical
	}
	for _, r := range b.replicas {
		lag, replicates, err := r.lag(ctx)
		switch {
		case err != nil:
			return fmt.Sprintf("the lag of %s is not known: %v", r.addr, err), false
		case !replicates:
			return r.addr + " does not replicate", false
		case above(lag.Milliseconds(), b.limits.MaxLag.Milliseconds(), resting):
			return fmt.Sprintf("%s lags by %s; %s is the most", r.addr, lag, b.limits.MaxLag), false
		}
	}
	return "", false
}

// above says whether a value is a reason to rest: above the most there may be
// or, while copies rest already, above four fifths of it.
func above(value, most int64, resting bool) bool {
	if resting {
		return value > most-most/5
	}
	return value > most
}

// load compares the status variables of the source with their limits.
func (b *Brake) load(ctx context.Context, resting bool) (why string, critical bool) {
	var names []string
	for _, l := range append(append([]snapshot.Load(nil), b.limits.CriticalLoad...), b.limits.MaxLoad...) {
		names = append(names, "'"+l.Variable+"'")
	}
	if len(names) == 0 {
		return "", false
	}
	values, err := b.source.status(ctx, names)
	if err != nil {
		return "the load of the source is not known: " + err.Error(), false
	}
	for i, limits := range [][]snapshot.Load{b.limits.CriticalLoad, b.limits.MaxLoad} {
		critical := i == 0
		for _, l := range limits {
			v, ok := values[strings.ToLower(l.Variable)]
			switch {
			case !ok:
				return "the source has no status variable " + l.Variable + " that is a number", false
			case above(v, l.Most, resting && !critical):
				return fmt.Sprintf("%s is %d at the source; %d is the most", l.Variable, v, l.Most), critical
			}
		}
	}
	return "", false
}

// status returns status variables, by their name in lower case.
func (p *probe) status(ctx context.Context, quoted []string) (map[string]int64, error) {
	values := map[string]int64{}
	err := p.ask(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ("+strings.Join(quoted, ", ")+")", func(r *mysql.Result) error {
		for n := range r.RowNumber() {
			name, err1 := r.GetString(n, 0)
			text, err2 := r.GetString(n, 1)
			if v, err := strconv.ParseFloat(text, 64); err1 == nil && err2 == nil && err == nil {
				values[strings.ToLower(name)] = int64(v)
			}
		}
		return nil
	})
	return values, err
}

// lag returns how far a replica lags, in its slowest channel.
func (p *probe) lag(ctx context.Context) (lag time.Duration, replicates bool, err error) {
	query := "SHOW REPLICA STATUS"
	if err := p.open(ctx); err != nil {
		return 0, false, err
	}
	if c, err := p.conn.CompareServerVersion("8.0.22"); err == nil && c < 0 {
		query = "SHOW SLAVE STATUS"
	}
	err = p.ask(ctx, query, func(r *mysql.Result) error {
		replicates = r.RowNumber() > 0
		for n := range r.RowNumber() {
			for name, i := range r.FieldNames {
				if !strings.HasPrefix(name, "Seconds_Behind_") {
					continue
				}
				if null, err := r.IsNull(n, i); err != nil || null { // its SQL or its I/O thread does not run
					replicates = false
					return err
				}
				seconds, err := r.GetInt(n, i)
				if err != nil {
					return err
				}
				lag = max(lag, time.Duration(seconds)*time.Second)
			}
		}
		return nil
	})
	return lag, replicates, err
}

func (p *probe) open(ctx context.Context) (err error) {
	if p.conn == nil {
		p.conn, err = p.dial(ctx)
	}
	return err
}

// ask asks a question. After a fault the next one is asked on another
// connection.
func (p *probe) ask(ctx context.Context, query string, take func(*mysql.Result) error) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	stop := closeWith(ctx, p.conn)
	defer stop()
	res, err := p.conn.Execute(query)
	if err == nil {
		defer res.Close()
		err = take(res)
	}
	if err != nil {
		p.close()
	}
	return err
}

func (p *probe) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// Close implements snapshot.Brake.
func (b *Brake) Close() {
	b.source.close()
	for _, r := range b.replicas {
		r.close()
	}
}
