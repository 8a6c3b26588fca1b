# The beginning of every script. FEED is the feed, and TOOL the name of the tool.
set -eu

# refused COMMAND… fails unless the command does.
refused() {
	if "$@" >refused.log 2>&1; then
		echo "not refused: $*"
		exit 1
	fi
}
