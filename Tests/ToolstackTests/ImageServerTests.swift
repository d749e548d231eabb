// SPDX-License-Identifier: Apache-2.0

import Devices
import Foundation
import Testing

@testable import Toolstack

private let hasImageTools = ["qemu-img", "qemu-nbd"].allSatisfy { access("/usr/bin/\($0)", X_OK) == 0 }

@Suite("A disk of the format qcow2", .enabled(if: hasImageTools, "the package qemu-utils is not installed"))
final class ImageServerTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "lockstep-\(UUID())").path
  /// A name that a less careful reader would take for more than a name.
  private var image: String { "\(folder)/a,b=c: d.qcow2" }

  init() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try HostProgram("qemu-img", package: "qemu-utils").run(["create", "-q", "-f", "qcow2", image, "64M"])
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func open(_ path: String? = nil, readOnly: Bool = false, discard: Bool = true) throws -> ServedDisk
  {
    let device = try #require(VirtualDevice(name: "xvda"))
    return try ImageServer.open(
      DiskConfiguration(
        target: path ?? image, format: .qcow2, device: device, readOnly: readOnly, discard: discard))
  }

  /// Something that works as soon as the last server has let go of the image.
  private func patiently<Result>(_ body: () throws -> Result) throws -> Result {
    for _ in 0..<200 {
      if let result = try? body() { return result }
      usleep(20_000)
    }
    return try body()
  }

  private func read(_ disk: ServedDisk, _ sector: UInt64, _ sizes: [Int]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xff, count: sizes.reduce(0, +))
    let isRead = bytes.withUnsafeMutableBytes { all in
      var rest = all[...]
      let buffers = sizes.map { size in
        defer { rest = rest.dropFirst(size) }
        return UnsafeMutableRawBufferPointer(rebasing: rest.prefix(size))
      }
      return disk.read(sector: sector, into: buffers)
    }
    #expect(isRead)
    return bytes
  }

  private func write(_ disk: ServedDisk, _ sector: UInt64, _ bytes: [UInt8]) -> Bool {
    var copy = bytes
    return copy.withUnsafeMutableBytes { disk.write(sector: sector, from: [$0]) }
  }

  @Test("keeps what was written, gives back what was discarded, and is then an image as before")
  func contents() throws {
    var disk: ServedDisk? = try open()
    if let disk {
      #expect(disk.sectorCount == 131_072 && disk.canDiscard && !disk.isReadOnly && disk.path == image)
      #expect(write(disk, 5, Array(repeating: 7, count: 512) + Array(repeating: 8, count: 1024)))
      #expect(write(disk, 131_071, Array(repeating: 9, count: 512)))
      #expect(write(disk, 4096, Array(repeating: 10, count: 1 << 20)))
      #expect(disk.flush() && disk.discard(sector: 4096, count: 2048) && disk.flush())
      #expect(
        read(disk, 4, [512, 1024, 1024])
          == Array(repeating: 0, count: 512) + Array(repeating: 7, count: 512)
          + Array(repeating: 8, count: 1024) + Array(repeating: 0, count: 512))
      #expect(disk.discard(sector: 131_000, count: 0))
    }
    disk = nil
    let raw = "\(folder)/raw"
    let converter = try HostProgram("qemu-img", package: "qemu-utils")
    _ = try patiently { try converter.run(["convert", "-f", "qcow2", "-O", "raw", image, raw]) }
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: raw)))
    #expect(bytes.count == 64 << 20 && bytes[2559] == 0 && bytes[2560] == 7 && bytes[4095] == 8)
    #expect(bytes.last == 9 && bytes[(2 << 20)..<(3 << 20)].allSatisfy { $0 == 0 })
    try converter.run(["check", "-q", "-f", "qcow2", image])
  }

  @Test("that is only read is neither written nor shortened, and may have several readers")
  func readers() throws {
    let disks = try [open(readOnly: true), open(readOnly: true)]
    for disk in disks {
      #expect(disk.isReadOnly && !disk.canDiscard && !write(disk, 0, Array(repeating: 1, count: 512)))
      #expect(read(disk, 0, [512]) == Array(repeating: 0, count: 512))
    }
    #expect(try !openCopy(discard: false).canDiscard)
  }

  private func openCopy(discard: Bool) throws -> ServedDisk {
    let copy = "\(folder)/copy"
    try FileManager.default.copyItem(atPath: image, toPath: copy)
    return try open(copy, discard: discard)
  }

  @Test("that is in use, of another format or not there is refused, saying why")
  func refusals() throws {
    func message(_ path: String? = nil) -> String {
      do {
        _ = try open(path)
        return "opened"
      } catch {
        return "\(error)"
      }
    }
    #expect(message("\(folder)/none").hasSuffix("No such file or directory"))
    let text = "\(folder)/text"
    try Data("no image".utf8).write(to: URL(filePath: text))
    #expect(message(text).contains("Image is not in qcow2 format"))
    let disk = try open()
    #expect(message().contains("lock"))
    withExtendedLifetime(disk) {}
  }

  @Test("whose server has ended fails each request, and nothing else")
  func abandoned() throws {
    let disk = try open()
    // The server is the one process that has the image open.
    let servers = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }.filter
    {
      let command = try? Data(contentsOf: URL(filePath: "/proc/\($0)/cmdline"))
      return command.map { String(decoding: $0, as: UTF8.self).contains(folder) } ?? false
    }
    #expect(servers.count == 1)
    for server in servers { kill(server, SIGKILL) }
    var bytes = [UInt8](repeating: 0, count: 512)
    #expect(!bytes.withUnsafeMutableBytes { disk.read(sector: 0, into: [$0]) })
    #expect(!write(disk, 0, bytes) && !disk.flush() && !disk.discard(sector: 0, count: 8))
  }
}
