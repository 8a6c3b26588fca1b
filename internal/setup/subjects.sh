# find_subjects sets subjects to the subject that GitHub's tokens have in jobs on the
# default branch. Repositories created, renamed or transferred since 15 July 2026, and
# those that chose so, have the ids of owner and repository in it.
subjects=()
branch=${SETUP_BRANCH:-main}
find_subjects() {
	local own=yes prefix='' immutable='' full=$repository owner=${SETUP_OWNER_ID:-} number=${SETUP_REPOSITORY_ID:-} rest=''
	if command -v gh >/dev/null &&
		gh api "repos/$repository" --jq '[.full_name, .owner.id, .id, .default_branch] | @tsv' >"$temp/repository" 2>"$temp/error"; then
		IFS=$'\t' read -r full owner number rest <"$temp/repository"
		branch=${SETUP_BRANCH:-$rest}
		if gh api "repos/$repository/actions/oidc/customization/sub" \
			--jq '[(if .use_default == false then "no" else "yes" end), (.use_immutable_subject // false), (.sub_claim_prefix // "-")] | @tsv' >"$temp/sub" 2>"$temp/error"; then
			IFS=$'\t' read -r own immutable prefix <"$temp/sub"
		fi
	else
		say ''
		say "The GitHub CLI (gh) cannot read $repository, so this takes the branch $branch. For another"
		say 'one set SETUP_BRANCH. If the subjects have ids, set SETUP_OWNER_ID and'
		say 'SETUP_REPOSITORY_ID to the numbers of owner and repository. Then run this script again.'
	fi
	if [ "$own" = no ]; then
		stop 'this repository has a template of its own for subjects. Give the subject as its jobs present it, with --issuer and --subject.'
	fi
	case $full$owner$number$branch in
	*[!A-Za-z0-9._/-]*) stop "the repository or its branch has unusual characters: give the subject with --issuer and --subject" ;;
	esac
	local plain="repo:$full" ids="repo:${full%/*}@$owner/${full#*/}@$number"
	if [ -z "$owner" ] || [ -z "$number" ]; then ids=''; fi
	# What GitHub says decides. Where it says nothing, or contradicts itself, both forms
	# are trusted. The one without ids goes by names, which another owner can take over
	# after a rename or a deletion: remove it if the jobs present the other one.
	if [ -n "$ids" ] && [ "$prefix" = "$ids" ] && [ "$immutable" = true ]; then
		plain=''
	elif [ "$prefix" = "$plain" ] && [ "$immutable" != true ]; then
		ids=''
	fi
	for prefix in $plain $ids; do
		subjects+=("$prefix:ref:refs/heads/$branch")
	done
}
