#!/usr/bin/env bash
# nvcc (NVCC_REAL) without candle's kernels for quantised weights and mixtures of experts: they are most of
# the time of a build and of the size of a program, and nothing that trains calls them. In their place are
# functions that stop the program and say so.
set -euo pipefail

source="${!#}"
case "$(basename "$PWD"):$source" in
  candle-kernels*:*quantized.cu) kind=ptx ;;
  candle-kernels*:*/moe/*.cu | candle-kernels*:*mmq_gguf/*.cu | candle-kernels*:*mmvq_gguf.cu) kind=object ;;
  *) kind= ;;
esac
output= folder= asked=
while (($#)); do
  words+=("$1")
  case "$1" in
    -o) output="${2:-}" ;;
    --output-directory) folder="${2:-}" ;;
    --ptx) asked=ptx ;;
    -c) asked=object ;;
  esac
  shift
done
if [[ -z "$kind" || "$kind" != "$asked" ]]; then
  exec "$NVCC_REAL" "${words[@]}"
fi

if [[ "$kind" == ptx ]]; then
  printf '.version 8.0\n.target sm_52\n.address_size 64\n' >"$folder/$(basename "$source" .cu).ptx"
  exit
fi
{
  printf '#include <stdio.h>\n#include <stdlib.h>\n'
  # All functions are declared in one file; one of the objects defines them.
  if [[ "$source" == */moe/moe_gguf.cu ]]; then
    sed -nE 's/^[[:space:]]*(pub )?fn ([A-Za-z0-9_]+)\(.*/\2/p' src/ffi.rs | sort -u | while read -r name; do
      printf 'void %s(void) { fputs("%s: built without quantised kernels\\n", stderr); abort(); }\n' "$name" "$name"
    done
  fi
} | cc -x c -c -fPIC -o "$output" -
