package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commandBlock is a block of command lines in a page, without prompts, comments and outputs.
type commandBlock []string

// commandBlocks returns the blocks of a page in a language: sh, or console for what is shown
// with its output.
func commandBlocks(t *testing.T, page, language string) (blocks []commandBlock) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	require.NoError(t, err)
	fence := regexp.MustCompile("(?ms)^ *```" + language + "\n(.*?)^ *```$")
	for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
		var block commandBlock
		for line := range strings.Lines(strings.ReplaceAll(match[1], "\\\n", " ")) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			prompted, isPrompt := strings.CutPrefix(line, "$ ")
			if line = prompted; line != "" && line[0] != '#' && isPrompt == (language == "console") {
				block = append(block, line)
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// theirs returns the arguments of radiusd in a command line; nil: it runs something else.
func theirs(line string) []string {
	line, _, _ = strings.Cut(line, " > ")
	parts := strings.Split(line, " | ")
	words := quotedFields(parts[len(parts)-1])
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:]
	}
	if len(words) > 1 && filepath.Base(words[0]) == "radiusd" {
		return words[1:]
	}
	return nil
}

// quotedFields is shellFields that keeps what quotes enclose as part of its word.
func quotedFields(text string) (fields []string) {
	field, in, quote := "", false, rune(0)
	for _, r := range text + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case quote == 0 && r == ' ':
			if in {
				fields = append(fields, field)
			}
			field, in = "", false
		default:
			field, in = field+string(r), true
		}
	}
	return fields
}

// Every command of the documentation must be one that parses: names and flags exist.
func TestDocumentedCommandsParse(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	require.NoError(t, err)
	parsed := map[string]int{}
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		page, err := filepath.Rel(filepath.Join("..", ".."), page)
		require.NoError(t, err)
		for _, block := range slices.Concat(commandBlocks(t, page, "sh"), commandBlocks(t, page, "console")) {
			for _, line := range block {
				args := theirs(line)
				if args == nil {
					continue
				}
				parsed[page]++
				found, left, err := newRoot().Find(args)
				require.NoError(t, err, "%s: %s", page, line)
				found.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
				require.NoError(t, found.ParseFlags(left), "%s: %s", page, line)
				assert.NoError(t, found.ValidateArgs(found.Flags().Args()), "%s: %s", page, line)
			}
		}
	}
	for _, page := range []string{"README.md", "docs/billing.md", "docs/vouchers.md", "docs/operations.md"} {
		assert.Greater(t, parsed[page], 5, page)
	}
}

// TestTenCommands follows the ten commands of README.md and docs/billing.md to the letter,
// after which nothing is owed.
func TestTenCommands(t *testing.T) {
	for page, user := range map[string]string{"README.md": "dora", "docs/billing.md": "alice"} {
		t.Run(page, func(t *testing.T) {
			engines(t, func(t *testing.T, s *site) {
				pdf := filepath.Join(s.dir, "invoice.pdf")
				for _, block := range commandBlocks(t, page, "sh") {
					commands := 0
					for _, line := range block {
						if args := theirs(line); args != nil {
							if commands++; args[len(args)-1] == "invoice.pdf" {
								args[len(args)-1] = pdf
							}
							s.ok(args...)
						}
					}
					if _, err := os.Stat(pdf); err == nil {
						assert.Equal(t, 10, commands)
						break
					}
				}
				assert.FileExists(t, pdf)
				assert.Equal(t, "paid", s.object("invoice", "show", "INV-000001")["state"])
				assert.Equal(t, "0.00", s.rows("balance", user)[0]["owed"])
				assert.Equal(t, "the books balance\n", s.ok("billing", "check"))
			})
		})
	}
}
