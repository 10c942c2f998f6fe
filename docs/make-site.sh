#!/bin/sh
# Puts the example site, with its large media files, into a folder to serve.
#
#   docs/make-site.sh target/site
#
# Only what is new or has changed is written, each file under another name
# first, so a server may be running on the folder. The film and the sound are
# not in git; two small C programs make them (about three seconds, once).
#
# A compressed sibling (.br, .zst, .gz) is copied only while its original is
# the one that it was made from: after you edit a page the site stays right,
# if larger, until example-site-tools/refresh.sh is run. In the folder a
# sibling has its original's time, because a checkout gives times at random.
#
# DEST.made lists what the last run copied. What has left the list is removed;
# other files in the folder are left alone.

set -eu
export LC_ALL=C

[ $# -eq 1 ] || { echo "usage: $0 DEST" >&2; exit 2; }
mkdir -p "$1"
dest=$(cd "$1" && pwd)
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Lines of checksum, length and name; the name may contain spaces.
wanted() {
    find example-site example-site-tools/*.c -type f -exec cksum {} + |
        awk '
            NR == FNR { fresh[$0]; next }
            { name = $0; sub(/^[0-9]+ [0-9]+ /, "", name); line[name] = $0 }
            END {
                for (name in line) {
                    original = name
                    if (sub(/\.(br|zst|gz)$/, "", original) && !(line[original] in fresh)) stale++
                    else print line[name]
                }
                if (stale) print "make-site: left out " stale " stale siblings; see example-site-tools/refresh.sh" >"/dev/stderr"
            }' example-site-tools/siblings.cksum - | sort
}

names() { cut -d ' ' -f 3- "$1" | sort; }

# The names in the list whose line is not in the old list, or which are not there.
changed() {
    { comm -13 "$work/old" "$work/wanted" | cut -d ' ' -f 3-
      while read -r _ _ name; do
          [ -f "$(target "$name")" ] || printf '%s\n' "$name"
      done <"$work/wanted"
    } | sort -u
}

target() {
    case $1 in
    example-site-tools/harbour.c) echo "$dest/media/harbour.mp4" ;;
    example-site-tools/waves.c) echo "$dest/media/waves.wav" ;;
    *) printf '%s\n' "$dest/${1#example-site/}" ;;
    esac
}

# Writes what stands for a name in the list to standard output.
content() {
    case $1 in
    example-site-tools/*.c)
        program=${1##*/}
        program=$work/${program%.c}
        # shellcheck disable=SC2086  # CC may hold options
        ${CC:-cc} -O2 -o "$program" "$1" -lm || return 1
        case $1 in
        */harbour.c) "$program" film ;;
        *) "$program" ;;
        esac ;;
    *) cat "$1" ;;
    esac
}

touch "$dest.made"
cp "$dest.made" "$work/old"
wanted >"$work/wanted"
changed >"$work/changed"
names "$work/old" >"$work/old-names"
names "$work/wanted" >"$work/wanted-names"

while read -r name; do
    file=$(target "$name")
    mkdir -p "${file%/*}"
    content "$name" >"$file.new" || { rm -f "$file.new"; exit 1; }
    mv "$file.new" "$file"
done <"$work/changed"

comm -23 "$work/old-names" "$work/wanted-names" | while read -r name; do
    rm -f "$(target "$name")"
done

if [ -s "$work/changed" ]; then
    while read -r name; do
        case $name in
        *.br | *.zst | *.gz) file=$(target "$name") && touch -r "${file%.*}" "$file" ;;
        esac
    done <"$work/wanted-names"
fi

mv "$work/wanted" "$dest.made"
