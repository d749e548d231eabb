// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces
import Machines

/// What `run` compares and records: the one place where a guest's machines are chosen.
struct Checks {
  let machinery: any Machinery
  private let monitor: CheckMonitor?
  private let recorder: TraceRecorder?

  /// - Parameters:
  ///   - sample: whether of the operations on shadow page tables a sample is compared.
  ///   - trace: a file to record in; implies a check.
  ///   - diverged: called at the first divergence.
  init(check: Bool, sample: Bool = false, trace: String?, diverged: @escaping @Sendable () -> Void) throws {
    guard check || trace != nil else {
      (machinery, monitor, recorder) = (OptimisedMachinery(), nil, nil)
      return
    }
    do { recorder = try trace.map { path throws(TraceError) in try TraceRecorder(path: path) } } catch {
      throw CouldNotRun(error.description)
    }
    let monitor = CheckMonitor(trace: recorder) { _ in diverged() }
    self.monitor = monitor
    machinery = CheckedMachinery(monitor: monitor, sample: sample ? .standard : nil)
  }

  /// Ends the comparison, and says what was compared, a line each.
  /// - Returns: the first divergence.
  func finish(_ say: (String) -> Void) -> Divergence? {
    guard let monitor else { return nil }
    recorder?.finish()
    for (machine, count) in monitor.counts {
      let unchecked = count.unchecked == 0 ? "" : "; \(count.unchecked) operations not checked"
      let sample =
        count.skipped == 0
        ? "" : " of \(count.operations + count.skipped + count.unchecked), in \(count.windows + 1) windows"
      say("checked: \(machine): \(count.operations) operations\(sample), \(count.steps) steps\(unchecked)")
    }
    for reason in monitor.uncheckedReasons { say("not checked: \(reason)") }
    if let recorder {
      say(recorder.failure?.description ?? "trace \(recorder.path): \(recorder.stepCount) steps")
    }
    return monitor.divergence
  }
}
