// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for libFuzzer's main: runs the target once on each file named on the command line, so that
// corpora and regressions replay in an ordinary build. When built with `-sanitize=fuzzer` the runtime's driver
// takes over. The package manager renames an executable's entry point to <product>_main, hence the names.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*fuzz_target)(const uint8_t *, size_t);
__attribute__((weak)) int LLVMFuzzerRunDriver(int *argc, char ***argv, fuzz_target target);

static int run(int argc, char **argv) {
  if (LLVMFuzzerRunDriver) return LLVMFuzzerRunDriver(&argc, &argv, LLVMFuzzerTestOneInput);
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    if (!file) {
      perror(argv[i]);
      return 2;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    size_t read = data && size > 0 ? fread(data, 1, (size_t)size, file) : 0;
    fclose(file);
    LLVMFuzzerTestOneInput(data, read);
    free(data);
  }
  printf("%d inputs replayed\n", argc - 1);
  return 0;
}

int FuzzRing_main(int argc, char **argv) { return run(argc, argv); }
int FuzzStream_main(int argc, char **argv) { return run(argc, argv); }
int FuzzPlanted_main(int argc, char **argv) { return run(argc, argv); }
int FuzzGrants_main(int argc, char **argv) { return run(argc, argv); }
int FuzzEventChannels_main(int argc, char **argv) { return run(argc, argv); }
int FuzzShadow_main(int argc, char **argv) { return run(argc, argv); }
int FuzzSelfBalloon_main(int argc, char **argv) { return run(argc, argv); }
int FuzzBalloon_main(int argc, char **argv) { return run(argc, argv); }
int FuzzDirtyLog_main(int argc, char **argv) { return run(argc, argv); }
int FuzzFiles_main(int argc, char **argv) { return run(argc, argv); }
int FuzzStore_main(int argc, char **argv) { return run(argc, argv); }
int FuzzNetwork_main(int argc, char **argv) { return run(argc, argv); }
int FuzzBlock_main(int argc, char **argv) { return run(argc, argv); }
