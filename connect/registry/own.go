package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema/avro"
)

// Keys of the store.
//
//	schemas/id/<id>/schema/<fingerprint>      the text of the schema, packed
//	schemas/id/<id>/claim/<fingerprint>/<who> 1
//	schemas/subject/<subject>/<ordinal>/<id>  1
const (
	idPrefix      = "schemas/id/"
	subjectPrefix = "schemas/subject/"
)

// probes is how many ids a schema may try.
const probes = 16

// Own is the registry in a log's store.
type Own struct {
	store offsets.Store
	print func(normal string) []byte // the fingerprint; tests have worse ones
	who   string                     // nobody else's

	// What is known to be there and does not change any more: a source that
	// begins with thousands of tables must not ask for each.
	mu    sync.Mutex
	known map[string]bool // keys of entries; nil: nothing was read yet
}

// NewOwn returns the registry in store.
func NewOwn(store offsets.Store) *Own {
	return &Own{store: store, print: fingerprint, who: rand.Text()}
}

func fingerprint(normal string) []byte {
	sum := sha256.Sum256([]byte(normal))
	return sum[:16]
}

// load is Load of the store, whose errors are outages.
func (o *Own) load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	list, err := o.store.Load(ctx, prefix)
	if err != nil {
		return nil, &Outage{fmt.Errorf("registry: read schemas: %w", err)}
	}
	return list, nil
}

func (o *Own) save(ctx context.Context, entries ...offsets.Entry) error {
	if err := o.store.Save(ctx, entries...); err != nil {
		return &Outage{fmt.Errorf("registry: keep a schema: %w", err)}
	}
	return nil
}

// Register implements Registry.
func (o *Own) Register(ctx context.Context, subject, schema string) (uint32, error) {
	normal, err := avro.Normal(schema)
	if err != nil {
		return 0, err
	}
	print := o.print(normal)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.learn(ctx); err != nil {
		return 0, err
	}
	id := firstID(print)
	own := schemaKey(id, print)
	if !o.known[own] {
		if id, err = o.identify(ctx, schema, print); err != nil {
			return 0, err
		}
		if id == firstID(print) {
			o.known[own] = true
		}
	}
	if listed := listedKey(subject, id); !o.known[listed] {
		if err := o.list(ctx, subject, id); err != nil {
			return 0, err
		}
		o.known[listed] = true
	}
	return id, nil
}

// learn notes, once, what is there.
func (o *Own) learn(ctx context.Context) error {
	if o.known != nil {
		return nil
	}
	list, err := o.load(ctx, idPrefix)
	if err != nil {
		return err
	}
	versions, err := o.All(ctx)
	if err != nil {
		return err
	}
	o.known = map[string]bool{}
	last := ""
	for _, e := range list {
		id, rest, _ := strings.Cut(e.Key[len(idPrefix):], "/")
		if !strings.HasPrefix(rest, schemaPart) {
			continue
		}
		if before, _, _ := strings.Cut(strings.TrimPrefix(last, idPrefix), "/"); before == id { // which must not be
			o.known[last] = false
			continue
		}
		last = e.Key
		o.known[last] = true
	}
	for _, v := range versions {
		o.known[listedKey(v.Subject, v.ID)] = true
	}
	return nil
}

func listedKey(subject string, id uint32) string {
	return subjectKey(subject) + strconv.FormatUint(uint64(id), 10)
}

// firstID returns the id that a schema tries first.
func firstID(print []byte) uint32 { return max(binary.BigEndian.Uint32(print)&(1<<31-1), 1) }

// identify returns the id of a schema, and gives it one if it has none.
func (o *Own) identify(ctx context.Context, schema string, print []byte) (uint32, error) {
	id := firstID(print)
	for range probes {
		there, others, err := o.look(ctx, id, print)
		if err != nil || there && !others {
			return id, err
		}
		if !there && !others {
			done, err := o.claim(ctx, id, schema, print)
			if done || err != nil {
				return id, err
			}
		}
		id = max((id+1)&(1<<31-1), 1)
	}
	return 0, &Outage{fmt.Errorf("registry: %d ids in a row, the last of them %d, are of other schemas, or other workers take them at the same time", probes, id)}
}

// look reports whether an id is that of the schema with a fingerprint, and
// whether another schema has it, or may get it.
func (o *Own) look(ctx context.Context, id uint32, print []byte) (there, others bool, err error) {
	list, err := o.load(ctx, idKey(id))
	claims := claimKey(id, print, "")
	for _, e := range list {
		switch {
		case e.Key == schemaKey(id, print):
			there = true
		case !strings.HasPrefix(e.Key, claims):
			others = true
		}
	}
	return there, others, err
}

// claim gives a schema an id that seems to be free. Whoever gives one has a
// claim in the store from before he looks at those of others until the schema is
// there. So of two who do that for different schemas at least the one who looks
// later sees the other, and goes elsewhere.
func (o *Own) claim(ctx context.Context, id uint32, schema string, print []byte) (done bool, err error) {
	mine := claimKey(id, print, o.who)
	if err := o.save(ctx, offsets.Entry{Key: mine, Pos: offsets.Position{1}}); err != nil {
		return false, err
	}
	_, others, err := o.look(ctx, id, print)
	if err != nil {
		return false, err
	}
	if others {
		return false, o.save(ctx, offsets.Entry{Key: mine})
	}
	return true, o.save(ctx, offsets.Entry{Key: schemaKey(id, print), Pos: s2.Encode(nil, []byte(schema))}, offsets.Entry{Key: mine})
}

// Parts of keys behind the id.
const (
	schemaPart = "schema/"
	claimPart  = "claim/"
)

func idKey(id uint32) string { return idPrefix + strconv.FormatUint(uint64(id), 10) + "/" }

func schemaKey(id uint32, print []byte) string {
	return idKey(id) + schemaPart + hex.EncodeToString(print)
}

func claimKey(id uint32, print []byte, who string) string {
	return idKey(id) + claimPart + hex.EncodeToString(print) + "/" + who
}

func subjectKey(subject string) string { return subjectPrefix + url.PathEscape(subject) + "/" }

// Schema implements Registry.
func (o *Own) Schema(ctx context.Context, id uint32) (string, error) {
	list, err := o.load(ctx, idKey(id)+schemaPart)
	switch {
	case err != nil:
		return "", err
	case len(list) == 0:
		return "", fmt.Errorf("%w: schema %d", ErrNotFound, id)
	case len(list) > 1:
		return "", fmt.Errorf("registry: schema %d: two schemas have this id", id)
	}
	text, err := s2.Decode(nil, list[0].Pos)
	if err != nil {
		return "", fmt.Errorf("registry: schema %d is damaged: %w", id, err)
	}
	return string(text), nil
}

// Version is a schema as a subject lists it.
type Version struct {
	Subject string
	Version int
	ID      uint32

	ordinal int
}

// list adds a schema to a subject, if it is not there.
func (o *Own) list(ctx context.Context, subject string, id uint32) error {
	versions, err := o.Versions(ctx, subject)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	ordinal := 1
	for _, v := range versions {
		if v.ID == id {
			return nil
		}
		ordinal = v.ordinal + 1
	}
	return o.save(ctx, offsets.Entry{Key: fmt.Sprintf("%s%d/%d", subjectKey(subject), ordinal, id), Pos: offsets.Position{1}})
}

// Versions returns what a subject lists, in the order of versions.
func (o *Own) Versions(ctx context.Context, subject string) ([]Version, error) {
	list, err := o.load(ctx, subjectKey(subject))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: subject %q", ErrNotFound, subject)
	}
	return versionsOf(list)
}

// versionsOf reads the entries of subjects.
func versionsOf(list []offsets.Entry) ([]Version, error) {
	var versions []Version
	for _, e := range list {
		parts := strings.Split(strings.TrimPrefix(e.Key, subjectPrefix), "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("registry: entry %q is not one of a subject", e.Key)
		}
		name, err := url.PathUnescape(parts[0])
		ordinal, err2 := strconv.Atoi(parts[1])
		id, err3 := strconv.ParseUint(parts[2], 10, 32)
		if err := errors.Join(err, err2, err3); err != nil {
			return nil, fmt.Errorf("registry: entry %q is not one of a subject: %w", e.Key, err)
		}
		versions = append(versions, Version{Subject: name, ID: uint32(id), ordinal: ordinal})
	}
	slices.SortFunc(versions, func(a, b Version) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.ID, b.ID))
	})
	// Two workers that add the same schema at once may list it twice: the first counts.
	seen := map[string]map[uint32]bool{}
	kept := versions[:0]
	for _, v := range versions {
		if seen[v.Subject] == nil {
			seen[v.Subject] = map[uint32]bool{}
		}
		if seen[v.Subject][v.ID] {
			continue
		}
		seen[v.Subject][v.ID] = true
		v.Version = len(seen[v.Subject])
		kept = append(kept, v)
	}
	return kept, nil
}

// All returns what all subjects list, by subject and version.
func (o *Own) All(ctx context.Context) ([]Version, error) {
	list, err := o.load(ctx, subjectPrefix)
	if err != nil {
		return nil, err
	}
	return versionsOf(list)
}

// Find returns the version of a subject whose schema is the given one.
func (o *Own) Find(ctx context.Context, subject, schema string) (Version, error) {
	normal, err := avro.Normal(schema)
	if err != nil {
		return Version{}, err
	}
	versions, err := o.Versions(ctx, subject)
	if err != nil {
		return Version{}, err
	}
	for _, v := range versions {
		text, err := o.Schema(ctx, v.ID)
		if err != nil {
			return Version{}, err
		}
		if own, err := avro.Normal(text); err == nil && own == normal {
			return v, nil
		}
	}
	return Version{}, fmt.Errorf("%w: the schema under subject %q", ErrNotFound, subject)
}
