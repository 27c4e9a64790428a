package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/connect/herder"
	schemas "github.com/towline/towline/connect/registry"
)

// The schemas of Avro, as Confluent's registry shows them: programs that read
// topics ask for them by the id that is in a message. Paths, bodies and codes of
// errors are its. Nothing is registered here: a schema comes with the first message
// that needs it, from the worker that writes that. Whoever could register one
// would have its topic's subject list what no message there has, and take ids that
// schemas of messages have a right to; who writes Avro beside Towline has a
// registry of his own.

// schemaRoutes are those about schemas.
func schemaRoutes() []route {
	const id, subject = "/schemas/ids/{id}", "/subjects/{subject}"
	const version = subject + "/versions/{version}"
	return []route{
		{"GET", "/schemas/types", reads, false, "The languages of schemas.", "", nil, ok([]string{}), func(c *call) error { return c.reply(http.StatusOK, []string{"AVRO"}) }},
		{"GET", id, reads, false, "The schema with an id.", "", nil, ok(schemaText{}), (*call).schemaByID},
		{"GET", id + "/schema", reads, false, "The schema with an id, without anything around it.", "", nil, ok(json.RawMessage(nil)), (*call).schemaAlone},
		{"GET", id + "/subjects", reads, false, "The subjects that list a schema.", "", nil, ok([]string{}), (*call).subjectsOfID},
		{"GET", id + "/versions", reads, false, "The versions of subjects that are a schema.", "", nil, ok([]subjectVersion{}), (*call).versionsOfID},
		{"GET", "/subjects", reads, false, "All subjects, or those that begin with subjectPrefix.", "subjectPrefix", nil, ok([]string{}), (*call).subjects},
		{"POST", subject, reads, false, "Which version of a subject a schema is. None is registered: they come with messages.", "", schemaBody{}, ok(listedSchema{}), (*call).findSchema},
		{"GET", subject + "/versions", reads, false, "The versions of a subject.", "", nil, ok([]int{}), (*call).versions},
		{"GET", version, reads, false, "A version of a subject: a number, or latest.", "", nil, ok(listedSchema{}), (*call).version},
		{"GET", version + "/schema", reads, false, "The schema of a version, without anything around it.", "", nil, ok(json.RawMessage(nil)), (*call).versionAlone},
	}
}

// schemaText is a schema as it is answered by its id.
type schemaText struct {
	Schema string `json:"schema"`
}

// subjectVersion names a version.
type subjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// listedSchema is a version of a subject.
type listedSchema struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int64  `json:"id"`
	Schema  string `json:"schema"`
}

// schemaBody is a schema that is asked for.
type schemaBody struct {
	Schema     string            `json:"schema"`
	Type       string            `json:"schemaType,omitempty"` // AVRO
	References []json.RawMessage `json:"references,omitempty"` // none
}

// Codes of errors, as Confluent's registry has them.
const (
	noSubject      = 40401
	noVersion      = 40402
	noSchema       = 40403
	invalidSchema  = 42201
	invalidVersion = 42202
)

func schemaError(code int, format string, args ...any) error {
	return &httpError{code: code / 100, text: fmt.Sprintf(format, args...), detail: code}
}

// registry returns the registry in the log that is in use.
func (c *call) registry() (*schemas.Own, error) {
	log := c.h.opts.Log()
	if log == nil {
		return nil, herder.ErrStarting
	}
	return schemas.NewOwn(log.Store()), nil
}

// schema returns the schema that the path names by its id.
func (c *call) schema() (id uint32, text string, err error) {
	name := c.r.PathValue("id")
	n, err := strconv.ParseInt(name, 10, 32)
	if err != nil || n < 0 {
		return 0, "", &httpError{code: http.StatusNotFound, text: "HTTP 404 Not Found"}
	}
	reg, err := c.registry()
	if err != nil {
		return 0, "", err
	}
	text, err = reg.Schema(c.ctx(), uint32(n))
	if errors.Is(err, schemas.ErrNotFound) {
		err = schemaError(noSchema, "Schema %d not found", n)
	}
	return uint32(n), text, err
}

func (c *call) schemaByID() error {
	_, text, err := c.schema()
	return c.replyOr(err, schemaText{text})
}

func (c *call) schemaAlone() error {
	_, text, err := c.schema()
	return c.replyOr(err, json.RawMessage(text))
}

// places returns the versions that are the schema in the path.
func (c *call) places() ([]schemas.Version, error) {
	id, _, err := c.schema()
	if err != nil {
		return nil, err
	}
	all, err := c.listed()
	return slices.DeleteFunc(all, func(v schemas.Version) bool { return v.ID != id }), err
}

func (c *call) listed() ([]schemas.Version, error) {
	reg, err := c.registry()
	if err != nil {
		return nil, err
	}
	return reg.All(c.ctx())
}

func (c *call) subjectsOfID() error {
	places, err := c.places()
	return c.replyOr(err, subjectNames(places))
}

func (c *call) versionsOfID() error {
	places, err := c.places()
	list := []subjectVersion{}
	for _, v := range places {
		list = append(list, subjectVersion{v.Subject, v.Version})
	}
	return c.replyOr(err, list)
}

func (c *call) subjects() error {
	all, err := c.listed()
	prefix := c.query("subjectPrefix")
	return c.replyOr(err, subjectNames(slices.DeleteFunc(all, func(v schemas.Version) bool { return !strings.HasPrefix(v.Subject, prefix) })))
}

// subjectNames returns the subjects of versions in order.
func subjectNames(list []schemas.Version) []string {
	names := []string{}
	for _, v := range list {
		names = append(names, v.Subject)
	}
	return slices.Compact(names)
}

// ofSubject returns the versions of the subject in the path.
func (c *call) ofSubject() (*schemas.Own, []schemas.Version, error) {
	reg, err := c.registry()
	if err != nil {
		return nil, nil, err
	}
	subject := c.r.PathValue("subject")
	list, err := reg.Versions(c.ctx(), subject)
	if errors.Is(err, schemas.ErrNotFound) {
		err = schemaError(noSubject, "Subject '%s' not found.", subject)
	}
	return reg, list, err
}

func (c *call) versions() error {
	_, list, err := c.ofSubject()
	numbers := []int{}
	for _, v := range list {
		numbers = append(numbers, v.Version)
	}
	return c.replyOr(err, numbers)
}

// one returns the version that the path names.
func (c *call) one() (listedSchema, error) {
	name := c.r.PathValue("version")
	n, err := strconv.ParseInt(name, 10, 64)
	latest := name == "latest" || name == "-1"
	if !latest && (err != nil || n < 1 || n > math.MaxInt32) {
		return listedSchema{}, schemaError(invalidVersion, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", name)
	}
	reg, list, err := c.ofSubject()
	if err != nil {
		return listedSchema{}, err
	}
	if latest {
		n = int64(len(list))
	}
	if n > int64(len(list)) {
		return listedSchema{}, schemaError(noVersion, "Version %d not found.", n)
	}
	return c.shown(reg, list[n-1])
}

// shown returns a version with its schema.
func (c *call) shown(reg *schemas.Own, v schemas.Version) (listedSchema, error) {
	text, err := reg.Schema(c.ctx(), v.ID)
	return listedSchema{Subject: v.Subject, Version: v.Version, ID: int64(v.ID), Schema: text}, err
}

func (c *call) version() error {
	v, err := c.one()
	return c.replyOr(err, v)
}

func (c *call) versionAlone() error {
	v, err := c.one()
	return c.replyOr(err, json.RawMessage(v.Schema))
}

// findSchema answers which version of a subject a schema is.
func (c *call) findSchema() error {
	// What Confluent's clients say that they send. A page in somebody's browser
	// cannot say that either, without being asked.
	switch kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind {
	case "application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json":
		c.r.Header.Set("Content-Type", "application/json")
	}
	data, err := c.body()
	if err != nil {
		return err
	}
	var body schemaBody
	if err := json.Unmarshal(data, &body); err != nil {
		return badRequest("the body is not a JSON object with a schema: %v", err)
	}
	reg, _, err := c.ofSubject()
	if err != nil {
		return err
	}
	if body.Type != "" && body.Type != "AVRO" || len(body.References) > 0 {
		return schemaError(noSchema, "Schema not found")
	}
	v, err := reg.Find(c.ctx(), c.r.PathValue("subject"), body.Schema)
	var away *schemas.Outage
	switch {
	case errors.Is(err, schemas.ErrNotFound):
		return schemaError(noSchema, "Schema not found")
	case err != nil && !errors.As(err, &away):
		return schemaError(invalidSchema, "Invalid schema: %v", err)
	case err != nil:
		return err
	}
	found, err := c.shown(reg, v)
	return c.replyOr(err, found)
}
