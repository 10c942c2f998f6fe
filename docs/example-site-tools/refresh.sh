#!/bin/sh
# Makes again what is committed in example-site but not written by hand: the
# week's data, the pictures, and the compressed siblings with the list of what
# they were made from. For those who edit the site.
#
# Needs: cc, brotli, zstd, gzip, and python3 with Pillow (or PYTHON=…).

set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
site=example-site
tools=example-site-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk -v form=json -f $tools/week.awk >$site/data/week.json
awk -v form=csv -f $tools/week.awk >$site/data/week.csv

${CC:-cc} -O2 -o "$work/harbour" $tools/harbour.c -lm
"$work/harbour" still 2400 1320 26.5 >"$work/dawn.ppm"
"$work/harbour" still 1920 1056 2.6 >"$work/night.ppm"
"${PYTHON:-python3}" - "$work" $site/img $site/favicon.ico <<'PY'
import math
import sys
from PIL import Image, ImageDraw

work, img, icon = sys.argv[1:]
dawn = Image.open(f"{work}/dawn.ppm")
night = Image.open(f"{work}/night.ppm")
dawn.resize((1200, 660), Image.LANCZOS).save(f"{img}/dawn.webp", quality=90, method=6)
night.resize((960, 528), Image.LANCZOS).save(f"{img}/night.webp", quality=88, method=6)

# The camera's picture: brightened, sixteen greys, dithered.
camera = night.convert("L").resize((480, 264), Image.LANCZOS).point(lambda v: min(255, int(255 * (v / 255) ** 0.55)))
greys = Image.new("P", (1, 1))
greys.putpalette([v * 17 for v in range(16) for _ in "rgb"] + [0] * 720)
camera.convert("RGB").quantize(palette=greys, dither=Image.FLOYDSTEINBERG).save(f"{img}/camera.png", optimize=True, bits=4)

# The icon: favicon.svg again, drawn large and made small.
big = Image.new("RGBA", (1024, 1024))
pen, k = ImageDraw.Draw(big), 32
scaled = lambda *points: [(x * k, y * k) for x, y in points]
pen.ellipse((0, 0, 1023, 1023), fill="#1d5c86")
for shape in ([(13.2, 12), (18.8, 12), (20.2, 22), (11.8, 22)], [(13.8, 7.5), (18.2, 7.5), (18.2, 11), (13.8, 11)], [(16, 4.6), (18.6, 6.8), (13.4, 6.8)]):
    pen.polygon(scaled(*shape), fill="#fff")
pen.polygon(scaled((12.7, 15.4), (19.3, 15.4), (19.7, 18.4), (12.3, 18.4)), fill="#e8508f")
pen.line(scaled(*((6.5 + i / 20, 24.6 - 0.9 * math.sin(i / 20 / 4.75 * math.pi)) for i in range(381))), fill="#bfe0f2", width=58, joint="curve")
big.resize((192, 192), Image.LANCZOS).save(f"{img}/icon-192.png", optimize=True)
big.resize((32, 32), Image.LANCZOS).save(icon, sizes=[(32, 32)])
PY

# A sibling must save more than the header fields that announce it.
find $site -type f \( -name '*.br' -o -name '*.zst' -o -name '*.gz' \) -exec rm -f {} +
find $site -type f | sort | while read -r file; do
    case $file in
    *.html | *.css | *.js | *.mjs | *.json | *.csv | *.svg | *.txt | *.webmanifest) ;;
    *) continue ;;
    esac
    brotli -q 11 -c "$file" >"$file.br"
    zstd -q --ultra -22 --no-check -c "$file" >"$file.zst"
    gzip -9 -n -c "$file" >"$file.gz"
    for sibling in "$file.br" "$file.zst" "$file.gz"; do
        [ $(($(wc -c <"$sibling") + 64)) -lt "$(wc -c <"$file")" ] || rm "$sibling"
    done
done

find $site -type f ! -name '*.br' ! -name '*.zst' ! -name '*.gz' -exec cksum {} + | sort >$tools/siblings.cksum
