// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Toolstack

@Suite("A compressed kernel image")
struct CompressedImageTests {
  /// What is to be packed: no ELF file, so that nothing but unpacking is tested.
  private static let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
  private static let limit = 1 << 20

  private static func has(_ program: String) -> Bool {
    (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").contains {
      access("\($0)/\(program)", X_OK) == 0
    }
  }

  /// What a program of the system makes of bytes; nil if it fails.
  private static func filter(_ command: String, _ bytes: [UInt8]) -> [UInt8]? {
    var name = Array("/tmp/lockstep-pack-XXXXXX".utf8CString)
    let descriptor = mkstemp(&name)
    guard descriptor >= 0 else { return nil }
    let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    guard write(descriptor, bytes, bytes.count) == bytes.count else { return nil }
    close(descriptor)
    guard let stream = popen("\(command) < \(path)", "r") else { return nil }
    var output = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&output, 1, output.count, stream)
    return pclose(stream) == 0 ? Array(output.prefix(count)) : nil
  }

  /// A bzImage with a payload at an offset of its own.
  private static func bzImage(_ payload: [UInt8]) -> [UInt8] {
    var file = [UInt8](repeating: 0, count: 5 * 512 + 100)
    func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
      withUnsafeBytes(of: value.littleEndian) { file.replaceSubrange(offset..<(offset + $0.count), with: $0) }
    }
    store(UInt8(4), at: 0x1f1)
    store(UInt32(0x5372_6448), at: 0x202)
    store(UInt16(0x20f), at: 0x206)
    store(UInt32(100), at: 0x248)
    store(UInt32(payload.count), at: 0x24c)
    return file + payload + [1, 2, 3]
  }

  @Test(
    "is unpacked, as a whole or inside of a bzImage", arguments: ["gzip", "xz", "zstd", "lz4 -l", "bzip2"])
  func formats(command: String) throws {
    let program = String(command.prefix { $0 != " " })
    guard Self.has(program) else { return }
    let packed = try #require(Self.filter("\(command) -c", Self.content))
    #expect(try CompressedImage.unpack(packed, limit: Self.limit) == Self.content)
    // All but gzip's are followed by the size.
    let payload = program == "gzip" ? packed : packed + [0xa0, 0x86, 1, 0]
    #expect(try CompressedImage.unpack(Self.bzImage(payload), limit: Self.limit) == Self.content)
  }

  @Test("that is not compressed is left alone")
  func plain() throws {
    for bytes in [[], [0x1f], SyntheticKernel.grub.file] {
      #expect(try CompressedImage.unpack(bytes, limit: Self.limit) == bytes)
    }
  }

  @Test("that is damaged, cut off or too large is refused in one line", .enabled(if: has("gzip"), "no gzip"))
  func damaged() throws {
    let packed = try #require(Self.filter("gzip -c", Self.content))
    let broken = "damaged: gzip cannot unpack it; copy it again"
    #expect(throws: ImageProblem(broken)) {
      try CompressedImage.unpack(Array(packed.dropLast(20)), limit: Self.limit)
    }
    #expect(throws: ImageProblem(broken)) {
      try CompressedImage.unpack([0x1f, 0x8b, 8, 0, 1, 2, 3], limit: Self.limit)
    }
    let large = [UInt8](repeating: 0, count: 8 << 20)
    let bomb = try #require(Self.filter("gzip -9c", large))
    #expect(throws: ImageProblem("it unpacks to more than 1 MiB")) {
      try CompressedImage.unpack(bomb, limit: Self.limit)
    }
    #expect(throws: ImageProblem("the file is cut off; copy it again")) {
      try CompressedImage.unpack(Array(Self.bzImage(packed).dropLast(100)), limit: Self.limit)
    }
    #expect(throws: ImageProblem("a Linux kernel compressed in a way that is not supported")) {
      try CompressedImage.unpack(Self.bzImage(Array("LZO?".utf8)), limit: Self.limit)
    }
  }
}
