package rocketlog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/offsets"
)

// ErrClosed is returned by all calls after Close.
var ErrClosed = errors.New("rocketlog: log is closed")

// Defaults of Options.
const (
	DefaultNamespace = "towline"
	DefaultWait      = 2 * time.Minute
)

// attrReserve is the attribute of a topic that says for how many hours its
// messages are kept.
const attrReserve = "reserve.time"

// closeWait bounds how long Close waits for what was appended to be shown.
const closeWait = 20 * time.Second

// appendQueues is how many queues one Append writes to at the same time.
const appendQueues = 16

// Options say where a log is.
type Options struct {
	// NameServers are their addresses, host:port each.
	NameServers []string
	// Cluster is the one that topics are made in; "": all brokers that the name
	// servers know.
	Cluster string
	// Namespace keeps topics apart from those of others; "": DefaultNamespace.
	Namespace string

	// State is the topic that keeps entries and the layout of topics; "": one that no
	// topic of Append can have the name of.
	State string

	// Alone has the namespace belong to this log: while it is open no other that
	// is Alone can be opened, by whatever process. What is taken from it ends it,
	// see Err.
	Alone bool
	// Retention is how long topics that are made are to keep messages; 0: as long
	// as brokers do anyway.
	Retention time.Duration

	// Copy is the folder of a copy of entries and topics, which is made if it is not
	// there; "": there is no copy.
	Copy string

	Credentials *remoting.Credentials // nil: requests are not signed
	TLS         *tls.Config           // nil: plain connections

	// Wait is how long a fault of brokers or network is waited out before calls
	// fail; 0: DefaultWait.
	Wait   time.Duration
	Logger *slog.Logger // nil: slog.Default()

	leaseWait time.Duration // how long Alone waits for another; 0: leaseWait
}

// Log is a connect.Log in a RocketMQ cluster. Make one with Open.
type Log struct {
	c          *cluster
	namespace  string
	stateTopic string // its name at the brokers
	writer     string
	retention  time.Duration
	state      *state
	lease      *lease // nil: others may write as well
	closing    chan struct{}

	mu      sync.Mutex
	topics  map[string]*topic
	made    chan struct{}
	closed  bool
	why     error // closing is closed
	calls   sync.WaitGroup
	readers sync.WaitGroup
}

// topic is a topic and its partitions.
type topic struct {
	name       string
	partitions []*queue
}

// layout is what the state keeps of a topic: how many queues each of its
// brokers has. Partitions are dealt to the brokers in turns, so the first ones
// may have one queue more.
type layout struct {
	Brokers []layoutBroker `json:"brokers"`
}

type layoutBroker struct {
	Name   string `json:"name"`
	Queues int    `json:"queues"`
}

var _ connect.Log = (*Log)(nil)

// Open opens the log of a namespace, which it makes if it is not there.
func Open(ctx context.Context, o Options) (l *Log, err error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if err := CheckNamespace(o.Namespace); err != nil {
		return nil, err
	}
	if err := CheckTopic(o.State); err != nil {
		return nil, err
	}
	if len(o.NameServers) == 0 {
		return nil, errors.New("rocketlog: no name server is given")
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	client := remoting.New(remoting.Options{TLS: o.TLS, Credentials: o.Credentials})
	l = &Log{namespace: o.Namespace, stateTopic: stateTopic(o.Namespace, o.State), writer: strings.ToLower(rand.Text()[:10]), retention: o.Retention, topics: map[string]*topic{}, made: make(chan struct{}), closing: make(chan struct{}),
		c: &cluster{client: client, names: o.NameServers, name: o.Cluster, group: o.Namespace, wait: o.Wait, logger: o.Logger, masters: map[string]string{}}}
	if err := l.open(ctx, o); err != nil {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("rocketlog: open namespace %s: %w", o.Namespace, err), l.lease.release(cctx), client.Close())
	}
	return l, nil
}

func (l *Log) open(ctx context.Context, o Options) error {
	broker, err := l.findState(ctx)
	if err != nil {
		return err
	}
	q := newQueue(l.c, l.stateTopic, remoting.Queue{Broker: broker}, l.writer)
	if o.Alone {
		if err := l.own(ctx, q, o.leaseWait); err != nil {
			return err
		}
	}
	c, err := newCopy(o.Copy, l.namespace, o.Logger)
	if err != nil {
		return err
	}
	if l.state, err = openState(ctx, q, c, l.while); err != nil {
		return err
	}
	return l.loadTopics(ctx)
}

// findState is stateBroker, again and again while there are no name servers or
// brokers yet.
func (l *Log) findState(ctx context.Context) (string, error) {
	for p := l.c.patience("any"); ; {
		broker, err := l.stateBroker(ctx)
		if err == nil {
			return broker, nil
		}
		if err = p.pause(ctx, err); err != nil {
			return "", err
		}
	}
}

// stateBroker returns the broker that has the state, and makes the topic where
// nothing is there yet.
func (l *Log) stateBroker(ctx context.Context) (string, error) {
	name := l.stateTopic
	all, err := l.c.brokers(ctx)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fmt.Errorf("the name server knows no broker of cluster %q", l.c.name)
	}
	for _, b := range all {
		has, err := l.topicAt(ctx, b.Name, name)
		if err != nil {
			return "", err
		}
		if has.Queues > 0 {
			return b.Name, checkState(b.Name, has)
		}
	}
	var known []string
	err = l.c.ask(ctx, func(ctx context.Context, addr string) (err error) {
		known, err = l.c.client.Topics(ctx, addr)
		return err
	})
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(known, func(t string) bool { return strings.HasPrefix(t, l.namespace+"%") }); i >= 0 {
		return "", fmt.Errorf("topic %s is there, but no broker that is up has topic %s, which says what is in it; start the broker that has, or name the topic of the state as it was named before", known[i], name)
	}
	want := remoting.TopicConfig{Topic: name, Queues: 1, Attributes: map[string]string{"cleanup.policy": "COMPACTION"}}
	has, err := l.makeTopic(ctx, all[0].Name, want)
	if err != nil {
		return "", err
	}
	return all[0].Name, checkState(all[0].Name, has)
}

func checkState(broker string, t remoting.TopicConfig) error {
	if t.Queues != 1 || t.Attributes["cleanup.policy"] != "COMPACTION" {
		return connect.Permanent(fmt.Errorf("topic %s of broker %s has %d queues and the attributes %v; it must have one and cleanup.policy=COMPACTION", t.Topic, broker, t.Queues, t.Attributes))
	}
	return nil
}

// topicAt returns how a broker has a topic; without queues if it does not.
func (l *Log) topicAt(ctx context.Context, broker, name string) (t remoting.TopicConfig, err error) {
	err = l.c.on(ctx, broker, func(ctx context.Context, addr string) (err error) {
		if t, err = l.c.client.TopicConfig(ctx, addr, name); remoting.IsCode(err, remoting.TopicNotExist) {
			t, err = remoting.TopicConfig{}, nil
		}
		return err
	})
	return t, err
}

// makeTopic makes a topic on a broker and returns how the broker has it then.
func (l *Log) makeTopic(ctx context.Context, broker string, want remoting.TopicConfig) (remoting.TopicConfig, error) {
	err := l.c.on(ctx, broker, func(ctx context.Context, addr string) error {
		err := l.c.client.CreateTopic(ctx, addr, want)
		if has, terr := l.c.client.TopicConfig(ctx, addr, want.Topic); err != nil && terr == nil && has.Queues > 0 {
			return nil // another was first: what it cannot be changed to is an error, too
		}
		return err
	})
	if err != nil {
		return want, err
	}
	return l.topicAt(ctx, broker, want.Topic)
}

// loadTopics takes in the topics that the state knows.
func (l *Log) loadTopics(ctx context.Context) error {
	list, err := l.state.load(ctx, spaceTopic, nil)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range list {
		name := e.Key[len(spaceTopic):]
		if l.topics[name] != nil {
			continue
		}
		if err := l.takeTopic(name, e.Pos); err != nil {
			return err
		}
	}
	return nil
}

// takeTopic takes in a topic as the state has it. mu is held.
func (l *Log) takeTopic(name string, text []byte) error {
	var lay layout
	if err := json.Unmarshal(text, &lay); err != nil {
		return fmt.Errorf("rocketlog: what is known of topic %s: %w", name, err)
	}
	l.addTopic(name, lay)
	return nil
}

// addTopic takes a topic in. mu is held.
func (l *Log) addTopic(name string, lay layout) {
	t := &topic{name: name}
	for id := 0; ; id++ {
		before := len(t.partitions)
		for _, b := range lay.Brokers {
			if id < b.Queues {
				t.partitions = append(t.partitions, newQueue(l.c, brokerName(l.namespace, name), remoting.Queue{Broker: b.Name, ID: id}, l.writer))
			}
		}
		if len(t.partitions) == before {
			break
		}
	}
	l.topics[name] = t
	close(l.made)
	l.made = make(chan struct{})
}

// enter begins a call: ctx ends when the log is closed. done ends the call.
func (l *Log) enter(ctx context.Context) (_ context.Context, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	l.mu.Lock()
	if l.why != nil {
		defer l.mu.Unlock()
		return nil, nil, l.why
	}
	l.calls.Add(1)
	l.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-l.closing:
			cancel(l.cause())
		case <-stop:
		}
		l.calls.Done()
	}()
	done = func() { cancel(nil); close(stop) }
	if err := l.lease.held(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return ctx, done, nil
}

// while calls f with a context that ends when the log does.
func (l *Log) while(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-l.closing:
			cancel(l.cause())
		case <-ctx.Done():
		}
	}()
	f(ctx)
	cancel(nil)
	<-done
}

// queueOf returns a partition's queue.
func (l *Log) queueOf(topic string, partition int32) (*queue, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[topic]
	if t == nil {
		return nil, fmt.Errorf("rocketlog: topic %q does not exist", topic)
	}
	if partition < 0 || int(partition) >= len(t.partitions) {
		return nil, fmt.Errorf("rocketlog: topic %q has %d partitions, no number %d", topic, len(t.partitions), partition)
	}
	return t.partitions[partition], nil
}

// CreateTopic makes a topic, with its partitions dealt to the brokers in turns.
func (l *Log) CreateTopic(ctx context.Context, name string, partitions int32) error {
	if name == "" || partitions < 1 {
		return fmt.Errorf("rocketlog: create topic %q with %d partitions: it needs a name and at least one partition", name, partitions)
	}
	if brokerName(l.namespace, name) == l.stateTopic {
		return connect.Permanent(fmt.Errorf("rocketlog: create topic %q: that is the topic of connectors and positions; choose another name for one of the two", name))
	}
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := l.loadTopics(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	t := l.topics[name]
	l.mu.Unlock()
	if t != nil {
		if len(t.partitions) != int(partitions) {
			return fmt.Errorf("rocketlog: create topic %q with %d partitions: it is there with %d", name, partitions, len(t.partitions))
		}
		return nil
	}
	lay, err := l.layOut(ctx, name, int(partitions))
	if err != nil {
		return fmt.Errorf("rocketlog: create topic %q: %w", name, err)
	}
	text, err := json.Marshal(lay)
	if err != nil {
		return fmt.Errorf("rocketlog: create topic %q: %w", name, err)
	}
	if err := l.state.save(ctx, []offsets.Entry{{Key: spaceTopic + name, Pos: text}}); err != nil {
		return fmt.Errorf("rocketlog: create topic %q: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[name] == nil {
		l.addTopic(name, lay)
	}
	return nil
}

// layOut makes a topic at the brokers.
func (l *Log) layOut(ctx context.Context, name string, partitions int) (lay layout, err error) {
	all, err := l.c.brokers(ctx)
	if err != nil {
		return lay, err
	}
	for i, b := range all {
		n := partitions / len(all)
		if i < partitions%len(all) {
			n++
		}
		if n == 0 {
			continue
		}
		want := remoting.TopicConfig{Topic: brokerName(l.namespace, name), Queues: n}
		if l.retention > 0 {
			hours := int64((l.retention + time.Hour - 1) / time.Hour)
			want.Attributes = map[string]string{attrReserve: strconv.FormatInt(hours, 10)}
		}
		has, err := l.makeTopic(ctx, b.Name, want)
		if err != nil {
			return lay, err
		}
		if got := has.Attributes[attrReserve]; got != want.Attributes[attrReserve] {
			return lay, fmt.Errorf("broker %s has %s=%q for it, not %q as it was asked to make", b.Name, attrReserve, got, want.Attributes[attrReserve])
		}
		if has.Queues != n {
			return lay, fmt.Errorf("broker %s has %d queues of it, not %d as it was asked to make", b.Name, has.Queues, n)
		}
		lay.Brokers = append(lay.Brokers, layoutBroker{b.Name, n})
	}
	if len(lay.Brokers) == 0 {
		return lay, fmt.Errorf("the name server knows no broker of cluster %q", l.c.name)
	}
	return lay, nil
}

// Topics returns the partitions of each topic.
func (l *Log) Topics(ctx context.Context) (map[string]int32, error) {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := l.loadTopics(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[string]int32, len(l.topics))
	for name, t := range l.topics {
		m[name] = int32(len(t.partitions))
	}
	return m, nil
}

// TopicsMade returns a channel that is closed when this Log makes a topic, or
// finds one that another has made.
func (l *Log) TopicsMade() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// Bounds returns the first offset of a partition and its next.
func (l *Log) Bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	q, err := l.queueOf(topic, partition)
	if err != nil {
		return 0, 0, err
	}
	return q.bounds(ctx)
}

// Trim drops nothing: brokers drop messages by their age.
func (l *Log) Trim(ctx context.Context, topic string, partition int32, _ int64) error {
	_, done, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = l.queueOf(topic, partition)
	return err
}

// Append writes the messages of each partition in order, and then, when all of
// them are there, saves the entries.
func (l *Log) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := l.append(ctx, msgs, nil); err != nil {
		return err
	}
	return l.save(ctx, entries)
}

// append writes messages, for a session or, with nil, for none.
func (l *Log) append(ctx context.Context, msgs []connect.Message, s *session) error {
	lists := map[*queue][]int{}
	var order []*queue
	for i := range msgs {
		q, err := l.queueOf(msgs[i].Topic, msgs[i].Partition)
		if err != nil {
			return fmt.Errorf("append message %d: %w", i, err)
		}
		if lists[q] == nil {
			order = append(order, q)
		}
		lists[q] = append(lists[q], i)
	}
	if s != nil {
		if err := s.ready(ctx, order); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(appendQueues)
	for _, q := range order {
		g.Go(func() error { return appendTo(gctx, q, msgs, lists[q], s) })
	}
	return g.Wait()
}

// appendTo writes some of the messages to a queue.
func appendTo(ctx context.Context, q *queue, msgs []connect.Message, list []int, s *session) error {
	if err := q.acquire(ctx); err != nil {
		return err
	}
	defer q.release()
	defer q.pack.begin()
	for _, i := range list {
		q.pack.pack(i, &msgs[i])
	}
	if s != nil {
		q.fenced = func() error { return s.fenced(q) }
		defer func() { q.fenced = nil }()
	}
	return q.append(ctx, q.pack.list, func(i int, offset int64) { msgs[q.pack.owner[i]].Offset = offset })
}

// Atomic reports false: messages go to queues one by one, and entries elsewhere
// when all of them are there.
func (l *Log) Atomic() bool { return false }

// Store returns the log's own store of entries.
func (l *Log) Store() offsets.Store { return store{l} }

// Err returns why the log has ended by itself, nil if it has not.
func (l *Log) Err() error {
	if err := l.cause(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

func (l *Log) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// fail ends all calls and readers; the first cause counts.
func (l *Log) fail(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.closing)
	}
}

// Close ends the log and its readers. It waits a little until readers elsewhere
// get what was appended.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	topics := l.topics
	l.mu.Unlock()
	l.fail(ErrClosed)
	l.readers.Wait()
	l.calls.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := allShown(ctx, topics); err != nil {
		l.c.logger.Warn("what was appended last may not be shown to readers yet", "error", err)
	}
	l.state.close(ctx)
	return errors.Join(l.lease.release(ctx), l.c.client.Close())
}

// Shown returns once all readers, those of other processes too, are told of what
// was appended here before: brokers show messages some time after they took them.
func (l *Log) Shown(ctx context.Context) error {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	l.mu.Lock()
	topics := maps.Clone(l.topics)
	l.mu.Unlock()
	return allShown(ctx, topics)
}

func allShown(ctx context.Context, topics map[string]*topic) error {
	var errs []error
	for _, t := range topics {
		for _, q := range t.partitions {
			if err := q.shown(ctx); err != nil {
				errs = append(errs, fmt.Errorf("rocketlog: end of %s: %w", q.name(), err))
			}
		}
	}
	return errors.Join(errs...)
}
