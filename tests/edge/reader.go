// What Go makes of a body, as the gateway's own decoders do: one body a line in, one JSON document a line out.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"os"
)

// The chat of gateway contract section 1.2.
type chat struct {
	Model    *string `json:"model"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	MaxTokens   *int     `json:"max_tokens"`
	Stream      *bool    `json:"stream"`
	Temperature *float32 `json:"temperature"`
	TopP        *float32 `json:"top_p"`
	TopK        *int     `json:"top_k"`
}

func read(kind byte, body []byte) (any, error) {
	if kind == 'j' {
		var document chat
		err := json.NewDecoder(bytes.NewReader(body)).Decode(&document)
		return document, err
	}
	form, err := multipart.NewReader(bytes.NewReader(body), "b").ReadForm(32 << 20)
	if err != nil {
		return nil, err
	}
	return append(form.Value["model_id"], "")[0], nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		body, err := base64.StdEncoding.DecodeString(lines.Text()[1:])
		if err != nil {
			panic(err)
		}
		found, err := read(lines.Text()[0], body)
		text, _ := json.Marshal(map[string]any{"found": found, "failed": err != nil})
		fmt.Println(string(text))
	}
}
