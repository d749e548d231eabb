// SPDX-License-Identifier: Apache-2.0

import Conformance
import Foundation
import Testing

@Suite("Traces") struct TraceTests {
  /// Records a synthetic run; returns the file's lines.
  private func record(into file: TraceFile) throws -> [String] {
    let recorder = try TraceRecorder(path: file.path)
    let monitor = CheckMonitor(trace: recorder) { Issue.record("\($0)") }
    let run = SyntheticRun(CheckedMachinery(monitor: monitor))
    run.grants(20)
    #expect(run.ring(20) == 20)
    #expect(run.stream(20) == 20)
    #expect(run.events(20) == 20)
    recorder.finish()
    #expect(recorder.failure == nil)
    return try String(contentsOfFile: file.path, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  private func replay(_ lines: [String], _ file: TraceFile, ending: String = "\n") throws -> TraceReplay {
    try (lines.joined(separator: "\n") + ending).write(toFile: file.path, atomically: false, encoding: .utf8)
    return try TraceReplay(path: file.path)
  }

  @Test("what was recorded is what the specifications allow")
  func replays() throws {
    let file = TraceFile()
    let lines = try record(into: file)
    let replay = try TraceReplay(path: file.path)
    #expect(replay.holds && replay.endNote == nil)
    // All lines but the first, the last, and one for each machine.
    #expect(replay.steps == lines.count - 7)
    #expect(replay.counts["Ring"]?.instances == 1 && replay.counts["Grants"]?.instances == 1)
    #expect(replay.counts["EventChannels"]?.instances == 1)
  }

  @Test("a record that was changed is found where it is")
  func tampered() throws {
    let file = TraceFile()
    let lines = try record(into: file)
    // An answer: the refusal of a map becomes a success.
    let refusal = try #require(lines.firstIndex { $0.hasPrefix("[0,0,") && !$0.hasSuffix(",0]") })
    var changed = lines
    changed[refusal] = lines[refusal].replacing(#/,\d+\]$/#, with: ",0]")
    var result = try replay(changed, file)
    #expect(result.departure?.line == refusal + 1 && result.departure?.step == refusal - 1)
    #expect(result.departure?.divergence.machine == "Grants")

    // A step left out: a put without its take.
    let take = try #require(lines.firstIndex { $0.hasPrefix("[1,4,1,") })
    changed = lines
    changed.remove(at: take)
    result = try replay(changed, file)
    #expect(result.departure?.line == take + 1 && result.departure?.divergence.machine == "Ring")
  }

  @Test("a recording that was killed is checked as far as it goes")
  func cutOff() throws {
    let file = TraceFile()
    let lines = try record(into: file)
    var result = try replay(Array(lines.dropLast(2)), file, ending: "\n[1,9")
    #expect(result.holds && result.steps == lines.count - 8)
    #expect(result.endNote?.contains("line \(lines.count - 1), the last one, is cut off") == true)
    result = try replay(Array(lines.dropLast()), file)
    #expect(result.holds && result.endNote == "the recording was ended in its midst")
  }

  @Test("what is no trace, or of other specifications, is refused in one line")
  func refused() throws {
    let file = TraceFile()
    let lines = try record(into: file)
    func complaint(_ lines: [String]) -> String? {
      do {
        _ = try replay(lines, file)
        return nil
      } catch {
        return "\(error)".replacing(file.path, with: "FILE")
      }
    }
    let none = "FILE: it is no trace; record one with lockstep run --trace"
    #expect(complaint([]) == none)
    #expect(complaint(["name = 'grub'", "memory = 3"]) == none)
    #expect(
      complaint([lines[0].replacing("1", with: "2")])
        == "FILE: a trace of version 2, and this program reads version 1")
    #expect(complaint([lines[0], "[7,1,2]"]) == "FILE:2: it is no step of a machine that has begun")
    #expect(complaint([lines[0], "{}"]) == "FILE:2: it is neither a step nor anything else that a trace has")
    #expect(
      complaint([lines[0], lines[1].replacing("\"map\"", with: "\"mop\"")])
        == "FILE:2: Grants has no action mop: the trace is of another version")
    #expect(complaint([lines[0], lines[1], "[0,0,1]"]) == "FILE:3: 1 numbers for map")
    #expect(
      complaint(lines.dropLast(2) + [lines[lines.count - 1]])
        == "FILE:\(lines.count - 1): the recording counts \(lines.count - 7) steps, and here are \(lines.count - 8)"
    )
    #expect(throws: TraceError.self) { try TraceReplay(path: "/nonexistent") }
    #expect(throws: TraceError.self) { try TraceReplay(path: "/tmp") }
    #expect(throws: TraceError.self) { try TraceRecorder(path: "/nonexistent/trace") }
  }

  @Test("a trace is packed by the program that its name asks for, and read again", arguments: ["gz"])
  func packed(ending: String) throws {
    let file = TraceFile(ending: ".\(ending)")
    let recorder = try TraceRecorder(path: file.path)
    #expect(SyntheticRun(CheckedMachinery(monitor: CheckMonitor(trace: recorder) { _ in })).ring(20) == 20)
    recorder.finish()
    #expect(recorder.failure == nil)
    let bytes = try Data(contentsOf: URL(filePath: file.path))
    #expect(bytes.starts(with: [0x1f, 0x8b]) && bytes.count < 4096)
    let replay = try TraceReplay(path: file.path)
    #expect(replay.holds && replay.endNote == nil && replay.steps == recorder.stepCount && replay.steps > 100)

    // Damaged: what was unpacked until then holds, and the file is said to be damaged all the same.
    try bytes.prefix(bytes.count / 2).write(to: URL(filePath: file.path))
    #expect(throws: TraceError.self) { try TraceReplay(path: file.path) }
  }

  @Test("a packed trace that its file cannot take is said to have failed")
  func packedFull() throws {
    let file = TraceFile(ending: ".gz")
    unlink(file.path)
    #expect(symlink("/dev/full", file.path) == 0)
    let recorder = try TraceRecorder(path: file.path)
    #expect(SyntheticRun(CheckedMachinery(monitor: CheckMonitor(trace: recorder) { _ in })).ring(20) == 20)
    recorder.finish()
    #expect(recorder.failure?.description.contains("No space left") == true)
  }

  @Test("a file that cannot take more ends the trace, not the run")
  func full() throws {
    let recorder = try TraceRecorder(path: "/dev/full")
    let monitor = CheckMonitor(trace: recorder) { Issue.record("\($0)") }
    #expect(SyntheticRun(CheckedMachinery(monitor: monitor)).ring(20) == 20)
    #expect(recorder.failure?.description.contains("No space left") == true)
  }

  @Test("the trace of an earlier version of this program still holds")
  func fixture() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let replay = try TraceReplay(path: folder.appendingPathComponent("Fixtures/synthetic.trace").path)
    #expect(replay.holds && replay.endNote == nil)
    #expect(replay.counts["Ring"]?.steps == 338 && replay.counts["Grants"]?.steps == 558)
    #expect(replay.counts["Stream"]?.steps == 259)
  }
}
