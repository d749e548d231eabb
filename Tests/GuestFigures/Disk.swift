// SPDX-License-Identifier: Apache-2.0

import Glibc

/// O_DIRECT of fcntl(2), which Swift is not shown.
private let directFlag: CInt = 0x4000
/// Of the disk, what is read and written.
private let extent = 64 << 20

/// Reads and writes one after the other, past the page cache: 1 MiB in order, and 4 KiB here and there.
func timeDisk(_ path: String) {
  let disk = open(path, O_RDWR | directFlag)
  require(disk >= 0, "open \(path)")
  let (large, small) = (1 << 20, 4096)
  guard let buffer = aligned_alloc(4096, large) else { return require(false, "aligned_alloc") }
  memset(buffer, 0x5a, large)
  let writes: (Int, Int) -> Bool = { pwrite(disk, buffer, $0, $1) == $0 }
  let reads: (Int, Int) -> Bool = { pread(disk, buffer, $0, $1) == $0 }
  for (name, transfer) in [("write", writes), ("read", reads)] {
    var place = 0
    time("sequential-\(name)") {
      require(transfer(large, place * large), name)
      place = (place + 1) % (extent / large)
    }
    // All places, in no order: a step that has no factor in common with their number.
    time("random-\(name)") {
      place = (place + 7919) % (extent / small)
      require(transfer(small, place * small), name)
    }
  }
  close(disk)
}
