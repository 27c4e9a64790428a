package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Remote is a registry elsewhere that speaks the API of Confluent's.
type Remote struct {
	opts   RemoteOptions
	client http.Client
}

// RemoteOptions say where a registry is, and what may be done there.
type RemoteOptions struct {
	URLs           []string // of one registry; they are tried in turns
	User, Password string   // "": it asks for none
	// Lookup has Register look a schema up, and not register it.
	Lookup bool
}

const (
	remoteTimeout = 20 * time.Second // of one request
	maxAnswer     = 16 << 20         // bytes
	contentType   = "application/vnd.schemaregistry.v1+json"
)

// NewRemote returns the registry that opts say.
func NewRemote(opts RemoteOptions) *Remote {
	// Schemas are asked for once each: no connection is worth keeping.
	return &Remote{opts: opts, client: http.Client{Timeout: remoteTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}}
}

// CheckURL returns what is wrong with the URL of a registry.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q is not the URL of a registry, such as http://registry:8081", text)
	case u.User != nil:
		return errors.New("a URL with a user in it would be shown with its password; give them as basic.auth.user.info, with basic.auth.credentials.source=USER_INFO")
	}
	return nil
}

// refusal is an answer of a registry that is an error.
type refusal struct {
	Status  int    `json:"-"`
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the registry says: %s (%d)", r.Message, r.Code)
}

// Register implements Registry.
func (r *Remote) Register(ctx context.Context, subject, schema string) (uint32, error) {
	path := "/subjects/" + url.PathEscape(subject)
	if !r.opts.Lookup {
		path += "/versions"
	}
	body, err := json.Marshal(map[string]string{"schema": schema})
	if err != nil {
		return 0, err
	}
	var answer struct {
		ID *int64 `json:"id"`
	}
	err = r.ask(ctx, http.MethodPost, path, body, &answer)
	var no *refusal
	switch {
	case errors.As(err, &no) && r.opts.Lookup && no.Status == http.StatusNotFound:
		return 0, fmt.Errorf("registry: subject %s does not have the schema, and auto.register.schemas is false: register it, or set auto.register.schemas=true: %w", subject, err)
	case errors.As(err, &no) && no.Status == http.StatusConflict:
		return 0, fmt.Errorf("registry: subject %s does not take the schema, which is not compatible with those before it; set the compatibility of the subject to NONE, or to what the change of the table allows: %w", subject, err)
	case err != nil:
		return 0, fmt.Errorf("registry: schema of subject %s: %w", subject, err)
	case answer.ID == nil || *answer.ID < 0 || *answer.ID > 1<<32-1:
		return 0, &Outage{fmt.Errorf("registry: it gives a schema of subject %s no id: is schema.registry.url that of a registry with Confluent's API?", subject)}
	}
	return uint32(*answer.ID), nil
}

// Schema implements Registry.
func (r *Remote) Schema(ctx context.Context, id uint32) (string, error) {
	var answer struct {
		Schema     *string           `json:"schema"`
		Type       string            `json:"schemaType"`
		References []json.RawMessage `json:"references"`
	}
	err := r.ask(ctx, http.MethodGet, fmt.Sprintf("/schemas/ids/%d", id), nil, &answer)
	var no *refusal
	switch {
	case errors.As(err, &no) && no.Status == http.StatusNotFound:
		return "", fmt.Errorf("%w: schema %d: %w", ErrNotFound, id, err)
	case err != nil:
		return "", fmt.Errorf("registry: schema %d: %w", id, err)
	case answer.Type != "" && answer.Type != "AVRO":
		return "", fmt.Errorf("registry: schema %d is one of %s, not of Avro", id, answer.Type)
	case len(answer.References) > 0:
		return "", fmt.Errorf("registry: schema %d refers to other schemas, which is not supported", id)
	case answer.Schema == nil:
		return "", &Outage{fmt.Errorf("registry: it answers without schema %d: is schema.registry.url that of a registry with Confluent's API?", id)}
	}
	return *answer.Schema, nil
}

// ask sends a request to one URL after the other until one answers. What is not
// an answer of a registry is an Outage.
func (r *Remote) ask(ctx context.Context, method, path string, body []byte, answer any) error {
	var faults []error
	for _, base := range r.opts.URLs {
		err := r.askAt(ctx, method, strings.TrimRight(base, "/")+path, body, answer)
		var no *refusal
		if err == nil || errors.As(err, &no) {
			return err
		}
		faults = append(faults, err)
	}
	return &Outage{errors.Join(faults...)}
}

func (r *Remote) askAt(ctx context.Context, method, url string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", contentType)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if r.opts.User != "" {
		req.SetBasicAuth(r.opts.User, r.opts.Password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("the registry cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the registry at %s: %w", url, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, answer); err != nil {
			return fmt.Errorf("%s does not answer as a registry with Confluent's API: %w", url, err)
		}
		return nil
	}
	no := &refusal{Status: resp.StatusCode}
	if json.Unmarshal(data, no) == nil && no.aboutSchema() {
		return no
	}
	return fmt.Errorf("%s answers %s %.200q", url, resp.Status, no.Message)
}

// aboutSchema reports whether the registry has looked at what it was asked about,
// and not failed before: at the path, the account, or its own storage.
func (r *refusal) aboutSchema() bool {
	switch r.Status {
	case http.StatusNotFound:
		return r.Code >= 40401 && r.Code <= 40499
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return true
	}
	return false
}
