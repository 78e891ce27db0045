#!/usr/bin/env bash
# Speaks the sentences of `sentences.txt` into a corpus for `switchboard eval speech`: `examples/speech/make-corpus.sh FOLDER`.
#
# Japanese is spoken by Open JTalk, English by eSpeak NG; both become what a telephone carries, mono G.711 μ-law at 8000 Hz.
# On Debian:
#     apt-get install open-jtalk open-jtalk-mecab-naist-jdic hts-voice-nitech-jp-atr503-m001 espeak-ng sox
# The voice is in Debian's `contrib` (its data are CC BY 3.0, see corpus/ATTRIBUTION.md); VOICE names another one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?which folder? It is made, and what is in it written over}
voice=${VOICE:-/usr/share/hts-voice/nitech-jp-atr503-m001/nitech_jp_atr503_m001.htsvoice}
dictionary=${DICTIONARY:-/var/lib/mecab/dic/open-jtalk/naist-jdic}

for program in open_jtalk espeak-ng sox; do
    command -v "$program" >/dev/null || { echo "error: $program is not installed: see the head of $0" >&2; exit 69; }
done
for needed in "$voice" "$dictionary"; do
    [ -e "$needed" ] || { echo "error: $needed is not there: see the head of $0" >&2; exit 69; }
done

mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '# Made by examples/speech/make-corpus.sh out of sentences.txt.\n' > "$folder/corpus.toml"
count=0
while read -r name tags words; do
    case $name in '' | '#'*) continue ;; esac
    case $name in
    ja-*)
        language=ja
        printf '%s\n' "$words" | open_jtalk -x "$dictionary" -m "$voice" -ow "$work/spoken.wav"
        ;;
    *)
        language=en
        espeak-ng -v en-us -s 150 -w "$work/spoken.wav" "$words"
        ;;
    esac
    # At most -3 dB; without dither, so that the same sentence is the same file.
    sox -D "$work/spoken.wav" -c 1 -r 8000 -e mu-law "$folder/$name.wav" norm -3
    printf '%s\n' "$words" > "$folder/$name.txt"
    printf '\n[utterances.%s]\nlanguage = "%s"\ntags = ["%s"]\n' "$name" "$language" "${tags//,/\", \"}" >> "$folder/corpus.toml"
    count=$((count + 1))
done < "$here/sentences.txt"
echo "$count utterances in $folder: switchboard eval speech --simulate $folder"
