// Command azdo-pat mints Azure DevOps personal access tokens that live no
// longer than the job that needs them. See README.md.
package main

import "azdo-pat/internal/cli"

func main() { cli.Main() }
