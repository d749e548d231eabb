// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Devices

/// A block device of the system's over a file: a loop device, by losetup. It discards by holes of the file.
private final class LoopDevice {
  let path: String
  private let file: TemporaryFile

  /// - Returns: nil if this computer has none, or lets us make none.
  init?(_ content: [UInt8], readOnly: Bool = false, sectorSize: Int = 512) {
    file = TemporaryFile(content)
    let options = "--find --show --sector-size \(sectorSize) \(readOnly ? "--read-only" : "")"
    let text = Self.output(of: "losetup \(options) '\(file.path)' 2>/dev/null")
    guard text.hasPrefix("/dev/loop") else { return nil }
    path = text
  }

  deinit { _ = Self.output(of: "losetup --detach \(path)") }

  static let isAvailable = LoopDevice(Array(repeating: 0, count: 1 << 16)) != nil

  var fileBytes: [UInt8] { file.bytes }

  private static func output(of command: String) -> String {
    guard let pipe = popen(command, "r") else { return "" }
    defer { pclose(pipe) }
    var text = [CChar](repeating: 0, count: 256)
    guard fgets(&text, 256, pipe) != nil else { return "" }
    return String(decoding: text.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

@Suite(
  "A block device as a disk", .serialized, .enabled(if: LoopDevice.isAvailable, "no loop device: not root?"))
struct BlockDeviceDiskTests {
  private static let content = (0..<128).flatMap { [UInt8](repeating: UInt8($0 + 1), count: 512) }

  @Test(
    "gives whole pages back that its guest discards, and keeps all around them",
    arguments: BlockEngine.available)
  func discard(engine: BlockEngine) throws {
    let device = try #require(LoopDevice(Self.content))
    let image = try DiskImage(path: device.path, readOnly: false)
    try #require(image.canDiscard && image.sectorCount == 128)
    let bench = try BlockBench(engine, image)
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 4, count: 24)) == 0)
    bench.guest.grant(10)
    #expect(try bench.status(0, sector: 4, [(10, 0, 7)]) == 0)
    #expect(
      bench.guest.page(10)[0] == 5 && bench.guest.page(10)[2047] == 8 && bench.guest.page(10)[2048] == 0)
    #expect(try bench.status(3) == 0)
    var expected = Self.content
    expected.replaceSubrange(4096..<12288, with: repeatElement(0, count: 8192))
    #expect(device.fileBytes == expected)
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 120, count: 9)) == -1)
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 3, count: 1)) == 0)
    #expect(device.fileBytes == expected)
  }

  @Test("discards nothing where it is not to")
  func noDiscard() throws {
    let device = try #require(LoopDevice(Self.content))
    #expect(try !DiskImage(path: device.path, readOnly: false, discard: false).canDiscard)
    #expect(try !DiskImage(path: device.path, readOnly: true).canDiscard)
  }

  @Test("has sectors of 512 bytes, whatever its own, of which it tells")
  func sectorSizes() throws {
    let device = try #require(LoopDevice(Self.content, sectorSize: 4096))
    let image = try DiskImage(path: device.path, readOnly: false)
    #expect(image.physicalSectorSize == 4096 && image.sectorCount == 128)
    let bench = try BlockBench(BlockEngine.available[0], image)
    bench.guest.grant(10)
    bench.guest.page(10).initializeMemory(as: UInt8.self, repeating: 0xee)
    #expect(try bench.status(1, sector: 3, [(10, 0, 0)]) == 0)
    #expect(try bench.status(3) == 0)
    var expected = Self.content
    expected.replaceSubrange(3 * 512..<4 * 512, with: repeatElement(0xee, count: 512))
    #expect(device.fileBytes == expected)
  }

  @Test("that may only be read, or that the system uses, is not opened to be written")
  func refusals() throws {
    func message(_ path: String) -> String {
      do {
        _ = try DiskImage(path: path, readOnly: false)
        return "opened"
      } catch {
        return error.description
      }
    }
    let device = try #require(LoopDevice(Self.content, readOnly: true))
    #expect(message(device.path).hasPrefix("\(device.path): "))
    #expect(
      message(device.path).hasSuffix("; use access=ro")
        || message(device.path).contains("no permission to write it"))
    #expect(try DiskImage(path: device.path, readOnly: true).sectorCount == 128)
    let used = try #require(LoopDevice(Self.content))
    // As a mounted file system has it.
    let holder = open(used.path, O_RDONLY | O_EXCL)
    defer { close(holder) }
    #expect(
      message(used.path)
        == "\(used.path): the system uses it, such as for a file system; unmount it, or use access=ro")
  }
}
