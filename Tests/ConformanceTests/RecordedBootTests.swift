// SPDX-License-Identifier: Apache-2.0

import Conformance
import Foundation
import Testing

/// What `.ci/recording` has recorded: Debian's kernel from its first instruction to power-off, with a disk and a network.
@Suite("A recorded boot of Debian's Linux") struct RecordedBootTests {
  private static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures/boot.trace.gz").path()

  @Test("is what the specifications allow, of every machine that a guest runs on")
  func replays() throws {
    let replay = try TraceReplay(path: Self.path)
    #expect(replay.holds && replay.endNote == nil)
    for machine in ["EventChannels", "Grants", "Ring", "Shadow", "Stream"] {
      #expect((replay.counts[machine]?.steps ?? 0) > 500, "\(machine) does too little")
    }
  }

  /// What the trace says, unpacked.
  private static let content = Result {
    let (unpacked, output) = (Process(), Pipe())
    unpacked.executableURL = URL(filePath: "/usr/bin/env")
    unpacked.arguments = ["gzip", "-dc", path]
    unpacked.standardOutput = output
    try unpacked.run()
    return String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
  }

  /// The lines of one machine alone, up to the first step of an action.
  private func beginning(_ machine: String, upTo action: String) throws -> [String] {
    var lines: [String] = []
    // How the lines of the machine's steps begin, and those of the action's.
    var (own, wanted): (Set<Substring>, Set<String>) = ([], [])
    for line in try Self.content.get().split(separator: "\n") {
      if lines.isEmpty { lines.append(String(line)) }
      if line.utf8.first == UInt8(ascii: "{") {
        guard line.contains("\"machine\":\"\(machine)\"") else { continue }
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        let id = try #require(object?["id"] as? Int)
        let number = try #require((object?["actions"] as? [String])?.firstIndex(of: action))
        lines.append(String(line))
        own.insert("[\(id),")
        wanted.insert("[\(id),\(number),")
      } else if let comma = line.firstIndex(of: ","), own.contains(line[...comma]) {
        lines.append(String(line))
        if wanted.contains(where: { line.hasPrefix($0) }) { return lines }
      }
    }
    return []
  }

  @Test(
    "is found to be changed where one step is made twice",
    arguments: [
      ("EventChannels", "create"), ("Grants", "create"), ("Ring", "publish"), ("Shadow", "acquire"),
      ("Stream", "publish"),
    ])
  func canary(machine: String, action: String) throws {
    let file = TraceFile()
    func replay(_ lines: [String]) throws -> TraceReplay {
      try (lines.joined(separator: "\n") + "\n").write(
        toFile: file.path, atomically: false, encoding: .utf8)
      return try TraceReplay(path: file.path)
    }
    let lines = try beginning(machine, upTo: action)
    #expect(try replay(lines).holds)
    let changed = try replay(lines + [try #require(lines.last)])
    #expect(changed.departure?.line == lines.count + 1 && changed.departure?.divergence.machine == machine)
  }

  @Test("gives the fuzz targets inputs that do what it did")
  func seeds() throws {
    let windows = try TraceWindow.windows(of: Self.path, length: 12, count: 1)
    #expect(windows.map(\.machine) == ["EventChannels", "Grants", "Ring", "Shadow", "Stream"])
    for window in windows {
      let seed = try #require(try TraceSeed.search(for: window, tries: 60, seed: 1))
      #expect(seed.made >= 2, "\(window.machine): \(seed.made) of \(window.stepCount) steps")
      let target = try #require(FuzzTarget.all.first { $0.name == window.machine })
      let divergence = seed.bytes.withUnsafeBufferPointer(FuzzSession(target).run)
      #expect(divergence == nil)
    }
  }
}
