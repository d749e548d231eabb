// SPDX-License-Identifier: Apache-2.0

import Corpora
import Foundation
import HostileInputs
import Interfaces
import Testing
import Xenstore

@testable import Toolstack

/// Every seed and every regression of two fuzz targets, replayed, and the alarms of both.
@Suite("The corpora and regressions of files and of the store's ring")
struct HostileInputTests {
  @Test("hold what must hold")
  func replays() throws {
    for (name, bytes) in try Corpus.seeds(of: "Files") + Corpus.regressions(of: "Files") {
      #expect(bytes.withUnsafeBufferPointer { FileInput.run($0) } == nil, "\(name)")
    }
    for (name, bytes) in try Corpus.seeds(of: "Store") + Corpus.regressions(of: "Store") {
      #expect(bytes.withUnsafeBufferPointer { StoreScript.run($0) } == nil, "\(name)")
    }
  }

  @Test(
    "find tables that the guest could write, tables that lead elsewhere, and a kernel that is not the file's")
  func fileCanaries() throws {
    let corpus = try Corpus.seeds(of: "Files").map(\.bytes)
    func complaints(_ tamper: (UnsafeMutableRawBufferPointer) -> Void) -> Set<String> {
      Set(corpus.compactMap { $0.withUnsafeBufferPointer { FileInput.run($0, tamper: tamper) } })
    }
    let readOnly = EntryFlags.readOnlyPage.rawValue
    func change(_ word: @escaping (UInt64) -> UInt64) -> (UnsafeMutableRawBufferPointer) -> Void {
      { memory in
        for offset in stride(from: 0, to: memory.count, by: 8) {
          let old = memory.load(fromByteOffset: offset, as: UInt64.self)
          memory.storeBytes(of: word(old), toByteOffset: offset, as: UInt64.self)
        }
      }
    }
    #expect(
      complaints(change { $0 & 0xfff == readOnly ? $0 | EntryFlags.writable.rawValue : $0 })
        == ["a page table is mapped for writing"])
    #expect(
      complaints(change { $0 & 0xfff == readOnly ? $0 & 0xfff : $0 }) == ["an entry leads out of the domain"])
    #expect(
      complaints(
        change {
          [0xaaaa_aaaa, 0xbbbb_bbbb, 0xcccc_cccc, 0xdddd_dddd, 0xeeee_eeee].contains($0 >> 32) ? 0 : $0
        }
      )
      .contains("memory does not hold what the file says"))
  }

  @Test(
    "find a store that tells secrets, one that lets its nodes be changed, one without a quota, and answers that get lost"
  )
  func storeCanaries() throws {
    let corpus = try Corpus.seeds(of: "Store").map(\.bytes)
    let readable = StorePermissions(owner: .host, others: .read)
    let writable = StorePermissions(owner: .host, others: .both)
    let complaints = corpus.flatMap { input in
      input.withUnsafeBufferPointer { bytes in
        [
          StoreScript.run(
            bytes,
            weaken: { $0.write(StoreScript.secretPath, $0.read(StoreScript.secretPath) ?? "", readable) }),
          StoreScript.run(bytes, weaken: { $0.write(StoreScript.namePath, "guest", writable) }),
          // More nodes than its quota, which the host gives it.
          StoreScript.run(
            bytes,
            weaken: { store in
              for number in 0..<20 { store.write(StorePath.home(of: DomainID(1)) / "data/\(number)", "") }
            }),
          StoreScript.run(bytes, ring: { Losing(inner: $0) }),
        ].compactMap(\.self)
      }
    }
    #expect(
      Set(complaints).isSuperset(of: [
        "a guest is told what it may not know", "a guest has changed a node of the host's",
        "a request has no answer", "a guest owns more nodes than its quota",
      ]), "\(complaints)")
  }

  @Test("are bounded: no text, and no sum of segments, is longer than what a file can mean")
  func bounds() throws {
    let reader = ByteReader(bytes: Array(repeating: 0x41, count: 10_000))
    #expect(reader.text(in: 0..<10_000).utf8.count == ByteReader.maximumText)
    var file = SyntheticKernel.grub.file
    // The second segment begins where the first one does, and both are longer than half of the file.
    for header in [64, 120] {
      let half = UInt64(file.count * 2 / 3)
      for (offset, value) in [(8, 0), (32, half), (40, 0x42_0000)] as [(Int, UInt64)] {
        withUnsafeBytes(of: value.littleEndian) {
          file.replaceSubrange((header + offset)..<(header + offset + 8), with: $0)
        }
      }
    }
    #expect(throws: ImageProblem("damaged: its segments share parts of the file")) { try KernelImage(file) }
  }

  @Test("are bounded: the longest configuration is read in a moment, a longer one is not read at all")
  func longConfiguration() throws {
    let limit = GuestConfiguration.configurationLimit
    let lines = (0..<limit).lazy.map { "k\($0)=1\n" }
    var text: [UInt8] = []
    for line in lines where text.count + line.utf8.count <= limit { text += line.utf8 }
    let start = ContinuousClock.now
    #expect(throws: ConfigurationProblem.self) { try GuestConfiguration.parse(text, file: "guest.cfg") }
    #expect(ContinuousClock.now - start < .seconds(10))
    let path = FileManager.default.temporaryDirectory.appending(path: "lockstep-long-\(getpid()).cfg").path
    defer { unlink(path) }
    #expect(FileManager.default.createFile(atPath: path, contents: Data(count: limit + 1)))
    #expect(
      throws: ToolstackError("configuration \(path): it has more than 64 KiB, too many for a configuration")
    ) { try GuestConfiguration.load(path) }
  }
}

/// Writes nothing of what it says it has written.
private final class Losing: StreamRing {
  let inner: any StreamRing
  init(inner: any StreamRing) { self.inner = inner }
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(RingError) -> Int {
    try inner.read(into: buffer)
  }
  func write(_ buffer: UnsafeRawBufferPointer) throws(RingError) -> Int { buffer.count }
}
