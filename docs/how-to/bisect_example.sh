#!/usr/bin/env bash
# Makes a small repository whose seventh commit made a function slower: bisect.md searches for it.
set -euo pipefail
git init --quiet --initial-branch main "$1"
cd "$1"
git config user.name "A. Developer"
git config user.email developer@example.org
mkdir -p src/words benchmarks
cat > pyproject.toml <<'END'
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "words"
version = "1"
END
cat > benchmarks/test_words.py <<'END'
from words import count, longest

TEXT = "the quick brown fox jumps over the lazy dog and the cat " * 40


def test_count(benchmark):
    assert benchmark(count, TEXT)["the"] == 120


def test_longest(benchmark):
    assert benchmark(longest, TEXT) == "quick"
END
fast='    numbers = {}
    for word in text.split():
        numbers[word] = numbers.get(word, 0) + 1
    return numbers'
slow='    numbers = {}
    for word in text.split():
        word = word.strip().lower()
        numbers[word] = numbers.get(word, 0) + 1
    return numbers'
write() { # write BODY VERSION
    printf '"""Words, version %s."""\n\n\ndef count(text):\n%s\n\n\ndef longest(text):\n    return max(text.split(), key=len)\n' "$2" "$1" > src/words/__init__.py
}
commit() { git add --all && git commit --quiet --message "$1"; }
write "$fast" 1 && commit "Count words" && git tag v1
write "$fast" 2 && commit "Say which version this is"
echo "Words" > README && commit "Begin a README"
echo "Count them" >> README && commit "Say what it is good for"
echo "import missing" >> src/words/__init__.py && commit "Import what is not there"
write "$fast" 3 && commit "Take the import out again"
write "$slow" 3 && commit "Take words with spaces and capitals"
write "$slow" 4 && commit "Say that this is version 4"
write "$slow" 5 && commit "Say that this is version 5"
echo "Thanks" >> README && commit "Thank everybody"
