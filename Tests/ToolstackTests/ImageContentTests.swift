// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Toolstack

@Suite("What a domain is built from, kept for its restarts")
struct ImageContentTests {
  private static let bytes = (0..<2_500_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

  @Test(
    "comes back in pieces, as it was, over and over",
    arguments: [0..<0, 0..<1, 2_499_999..<2_500_000, 1_000_001..<2_400_000, 0..<2_500_000])
  func reads(range: Range<Int>) throws {
    let kept = try #require(KeptContent(Self.bytes), "no folder for temporary files")
    #expect(kept.count == Self.bytes.count)
    for _ in 0..<2 {
      var read: [UInt8] = []
      try kept.read(range) { read += $0 }
      #expect(read == Array(Self.bytes[range]))
    }
  }

  @Test("the code of a process is found in its map of memory")
  func codeOfFile() {
    func code(_ line: String) -> Range<UInt>? { StartUpMemory.codeOfFile(line) }
    #expect(
      code("7f00001000-7f00003000 r-xp 00028000 fe:00 1234                       /usr/lib/libc.so.6\n")
        == 0x7f_0000_1000..<0x7f_0000_3000)
    #expect(code("1000-2000 r-xp 00000000 fe:00 1 /a program\n") == 0x1000..<0x2000)
    // Data, code that may be written to or comes from no file, the system's own, nonsense.
    for line in [
      "1000-2000 r--p 00000000 fe:00 1 /lib/a", "1000-2000 rwxp 00000000 fe:00 1 /lib/a",
      "1000-2000 r-xp 00000000 00:00 0", "1000-2000 r-xp 00000000 00:00 0 [vdso]",
      "2000-1000 r-xp 00000000 fe:00 1 /lib/a", "1000 r-xp 00000000 fe:00 1 /lib/a", "",
    ] { #expect(code(line) == nil, "\(line)") }
  }
}
