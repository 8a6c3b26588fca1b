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

# answered_with STATUS tells whether the service answered the last command with one of
# these statuses, in words.
answered_with() { grep -Eq "^(ERROR: )?($1)(\(|\$)" "$temp/error"; }

# refused: the last command was not allowed, so that trying again cannot help.
refused() {
	answered_with 'Forbidden|Unauthorized' ||
		grep -Eq 'Authorization_RequestDenied|AuthorizationFailed|Insufficient privileges|Please run .az login' "$temp/error"
}

# made are the variables of what this run has created.
made=''

# may_pass VARIABLES tells whether the last command, which refers to the VARIABLES, may
# succeed later, and sets why.
may_pass() {
	local name
	why='the service is busy, or cannot be reached'
	if answered_with 'Too Many Requests|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?[Oo]ut' ||
		grep -Eq 'Max retries exceeded|[Cc]onnection (aborted|reset|refused)|timed out' "$temp/error"; then return 0; fi
	why='another change may be under way'
	if answered_with Conflict; then return 0; fi
	why='what was created a moment ago may not be known there yet'
	for name in $1; do
		case " $made " in *" $name "*) return 0 ;; esac
	done
	return 1
}

# wait_for says why the last command is tried again, once for each reason.
waiting=''
wait_for() {
	if [ "$waiting" = "$why" ]; then return; fi
	waiting=$why
	say "   It did not succeed yet: $(tr -cs '[:print:]' ' ' <"$temp/error" | cut -c 1-400)"
	say "   Trying again up to $((tries - 1)) times, every $pause s: $why."
}

# look FUNCTION prints the values that it finds, with tabs between them, or nothing.
look() {
	"$1" 2>"$temp/error" && return
	answered_with 'Not Found' || grep -Eq 'ResourceNotFound|not found within subscription' "$temp/error"
}

# assign VARIABLES VALUES sets them. The values become parts of addresses and of JSON.
assign() {
	case $2 in
	*[!A-Za-z0-9\ $'\t'._@:/+=\(\)-]*) stop 'an answer has characters that no id has' ;;
	esac
	# shellcheck disable=SC2229,SC2086 # the names of several variables
	IFS=$'\t' read -r $1 _ <<<"$2"
}

# ensure VARIABLES LOOK CREATE NEEDS sets the variables to what LOOK finds. If it finds
# nothing, CREATE is called, and LOOK is tried until it finds it. NEEDS are the variables
# that both refer to.
changed=''
ensure() {
	local created='' found try
	waiting=''
	for ((try = 0; try < tries; try++)); do
		if [ "$try" -gt 0 ]; then sleep "$pause"; fi
		if found=$(look "$2"); then
			if [ -n "$found" ]; then
				if [ -n "$created" ]; then tell 'Created.'; else tell 'It is there.'; fi
				assign "$1" "$found"
				return
			fi
			if [ -z "$3" ]; then return; fi
			if [ -n "$created" ]; then continue; fi
			if "$3" >"$temp/output" 2>"$temp/error"; then
				created=yes changed=yes made="$made $1"
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
		if [ -n "$created" ]; then continue; fi
		if refused; then failed 'this was not allowed.'; fi
		may_pass "$4" || failed 'this did not succeed. Run this script again when the cause is removed.'
		wait_for
	done
	if [ -n "$created" ]; then stop 'it was created, but cannot be found yet. Run this script again in a few minutes.'; fi
	failed 'this did not succeed. Run this script again when the cause is removed.'
}

# attempt FUNCTION calls it until it succeeds. What is not there need not be removed.
attempt() {
	local try
	waiting=''
	for ((try = 0; try < tries; try++)); do
		if [ "$try" -gt 0 ]; then sleep "$pause"; fi
		if look "$1" >"$temp/output"; then
			changed=yes
			return
		fi
		if refused; then failed 'this was not allowed.'; fi
		may_pass '' || break
		wait_for
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
