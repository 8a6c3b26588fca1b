# How often a step is tried, and the seconds in between: what was created a moment ago
# is not known everywhere at once.
tries=${SETUP_TRIES:-24}
pause=${SETUP_PAUSE:-5}

say() { printf '%s\n' "$*" >&2; }

# tell says how a step went, unless things are only looked for.
quiet=''
tell() { [ -n "$quiet" ] || say "   $*"; }

stop() {
	printf '\nStopped: %s\n' "$*" >&2
	exit 1
}

# failed TEXT stops with what az had to say.
failed() {
	cat "$temp/error" >&2
	stop "$1"
}

# step WHAT ROLE announces a step.
number=0
step() {
	number=$((number + 1))
	say ''
	say "$number. $1"
	if [ -n "$2" ]; then say "   Role needed to create it: $2."; fi
}

# refused: the last command was not allowed, so that trying again cannot help.
refused() {
	grep -Eq 'Forbidden\(|Unauthorized\(|Authorization_RequestDenied|AuthorizationFailed|Insufficient privileges|Please run .az login' "$temp/error"
}

# look FUNCTION prints the values that it finds, with tabs between them, or nothing.
look() {
	"$1" 2>"$temp/error" && return
	grep -Eq 'Not Found\(|ResourceNotFound|not found within subscription' "$temp/error"
}

# assign VARIABLES VALUES sets them. The values become parts of addresses and of JSON.
assign() {
	case $2 in
	*[!A-Za-z0-9\ $'\t'._@:/+=\(\)-]*) stop 'an answer has characters that no id has' ;;
	esac
	# shellcheck disable=SC2229,SC2086 # the names of several variables
	IFS=$'\t' read -r $1 _ <<<"$2"
}

# ensure VARIABLES LOOK CREATE sets the variables to what LOOK finds. If it finds
# nothing, CREATE is called, and LOOK is tried until it finds it.
changed=''
ensure() {
	local created='' found try
	for ((try = 0; try < tries; try++)); do
		if [ "$try" -gt 0 ]; then sleep "$pause"; fi
		if found=$(look "$2"); then
			if [ -n "$found" ]; then
				if [ -n "$created" ]; then tell 'Created.'; else tell 'It is there.'; fi
				assign "$1" "$found"
				return
			fi
			if [ -z "$3" ]; then return; fi
			if [ -z "$created" ] && "$3" >"$temp/output" 2>"$temp/error"; then
				created=yes changed=yes
				found=$(look "$2") || continue
				if [ -n "$found" ]; then
					tell 'Created.'
					assign "$1" "$found"
					return
				fi
				tell 'Created; waiting until it is known everywhere.'
				continue
			fi
		fi
		if [ -z "$created" ] && refused; then failed 'this was not allowed.'; fi
		if [ -z "$created" ] && [ "$try" -eq 0 ]; then tell 'It did not succeed at once: trying again for a while.'; fi
	done
	if [ -n "$created" ]; then stop 'it was created, but cannot be found yet. Run this script again in a few minutes.'; fi
	failed 'this did not succeed. Run this script again when the cause is removed.'
}

# attempt FUNCTION calls it until it succeeds. What is not there need not be removed.
attempt() {
	local try
	for ((try = 0; try < tries; try++)); do
		if [ "$try" -gt 0 ]; then sleep "$pause"; fi
		if look "$1" >"$temp/output"; then
			changed=yes
			return
		fi
		if refused; then failed 'this was not allowed.'; fi
	done
	failed 'this did not succeed. Run this script again when the cause is removed.'
}

# answered OUTPUT tells whether Azure DevOps did what it was asked: it answers 200 also
# when it did not.
answered() {
	if [ -n "$1" ]; then
		printf '%s\n' "$1" >&2
		return 1
	fi
}
