#!/usr/bin/env bash
#
#	act-image.sh [IMAGE]
#
# Makes the image in which act runs the steps of a job, azdo-pat-job:latest if
# not named otherwise, out of this machine's own bash, git, curl, jq, npm, docker and
# busybox, so that no image registry is needed. One that is up to date is kept.
#
# Needs these, with a static busybox (Debian: busybox-static).

set -euo pipefail

image=${1:-azdo-pat-job:latest}
label=azdo-pat.job

fail() {
	echo "act-image.sh: $*" >&2
	exit 1
}

busybox=$(command -v busybox) || fail "no busybox found; install busybox-static"
bash=$(command -v bash)
git=$(command -v git) || fail "no git found; install git"
core=$(git --exec-path)
# git-core/git is the same program as git, and what git starts its own parts by.
programs=("$bash" "$git" "$core/git" "$core/git-remote-http" "$core/git-remote-https"
	"$core/git-submodule" "$core/git-sh-setup" "$core/git-sh-i18n" "$core/git-sh-i18n--envsubst")
for name in curl docker jq node; do
	programs+=("$(command -v "$name")") || fail "no $name found; install it"
done
npm=$(command -v npm) || fail "no npm found; install npm"
# npm's own folder, or all of Debian's modules.
modules=$(dirname "$(dirname "$(readlink -f "$npm")")")
case $modules in
/usr/share/nodejs/*) modules=/usr/share/nodejs ;;
esac
mapfile -t libraries < <(ldd "${programs[@]}" 2>/dev/null | grep -o '/[^ :]*\.so[^ ]*' | sort -u)

key=$({ npm --version && sha256sum "$0" "$busybox" "${programs[@]}" "${libraries[@]}"; } | sha256sum | cut -c1-16)
if [ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$key" ]; then
	echo "act-image.sh: $image is up to date ($key)"
	exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

mkdir -p "$root"/{bin,dev,etc,proc,root,sys,var}
mkdir -m 1777 "$root/tmp" "$root/var/tmp"
cp "$busybox" "$root/bin/busybox"
chroot "$root" /bin/busybox true || fail "$busybox does not run on its own; install busybox-static"
"$busybox" --list | while read -r applet; do
	case $applet in
	busybox | bash) ;;
	*) ln -s busybox "$root/bin/$applet" ;;
	esac
done
for file in "${programs[@]}" "${libraries[@]}"; do
	mkdir -p "$root$(dirname "$file")"
	cp -L "$file" "$root$file"
done
mkdir -p "$root/usr/bin" "$root$modules"
cp -a "$modules/." "$root$modules"
ln -sf "$(readlink -f "$npm")" "$root/usr/bin/npm"
[ -e "$root/usr/bin/env" ] || ln -s /bin/env "$root/usr/bin/env"
[ -e "$root/bin/bash" ] || ln -s "$bash" "$root/bin/bash"
echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

tar -C "$root" --owner=0 --group=0 --numeric-owner -c . | docker import \
	--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	--change 'CMD ["/bin/bash"]' \
	--change "LABEL $label=$key" \
	- "$image" >/dev/null
echo "act-image.sh: made $image ($key): $(docker run --rm "$image" git version)"
