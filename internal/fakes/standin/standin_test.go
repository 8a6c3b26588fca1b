//go:build unix

package standin

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A program can be started at once, although others are started all the time. Without the
// lock some of these starts fail.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 40 {
				file := filepath.Join(dir, fmt.Sprintf("%d-%d", i, n))
				Write(t, file, "#!/bin/sh\n")
				if err := exec.Command(file).Run(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
