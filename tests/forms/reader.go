// What Go's own reader makes of a form, as the gateway's handlers use it: one JSON document a line in, one a line out.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

type request struct {
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

type verdict struct {
	Failed bool   `json:"failed,omitempty"`
	Model  string `json:"model,omitempty"`
	Width  int64  `json:"width,omitempty"`
	File   string `json:"file,omitempty"`
}

func read(in request) (verdict, error) {
	http_request, err := http.NewRequest("POST", "http://gateway.test/", bytes.NewReader(in.Body))
	if err != nil {
		return verdict{}, err
	}
	http_request.Header.Set("Content-Type", in.ContentType)
	reader, err := http_request.MultipartReader()
	if err != nil {
		return verdict{}, err
	}
	form, err := reader.ReadForm(32 << 20)
	if err != nil {
		return verdict{}, err
	}
	var out verdict
	if values := form.Value["model_id"]; len(values) > 0 {
		out.Model = values[0]
	}
	if values := form.Value["width"]; len(values) > 0 {
		if out.Width, err = strconv.ParseInt(values[0], 10, 64); err != nil {
			return verdict{}, err
		}
	}
	if files := form.File["image"]; len(files) > 0 {
		file, err := files[0].Open()
		if err != nil {
			return verdict{}, err
		}
		content, err := io.ReadAll(file)
		if err != nil {
			return verdict{}, err
		}
		sum := sha256.Sum256(content)
		out.File = hex.EncodeToString(sum[:4])
	}
	return out, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var in request
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			panic(err)
		}
		out, err := read(in)
		if err != nil {
			out = verdict{Failed: true}
		}
		text, _ := json.Marshal(out)
		fmt.Println(string(text))
	}
}
