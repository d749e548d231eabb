// SPDX-License-Identifier: Apache-2.0
//
// The fuzz target that must fail: the alarm is tried with a bug planted in an optimised machine. LOCKSTEP_PLANTED names
// the bug, as `PlantedBug` does.

import Conformance
import Foundation
import PlantedBugs

/// libFuzzer calls from one thread.
nonisolated(unsafe) private let session: FuzzSession = {
  let name = ProcessInfo.processInfo.environment["LOCKSTEP_PLANTED"] ?? ""
  guard let planted = PlantedBug.all.first(where: { $0.description == name }) else {
    fatalError("LOCKSTEP_PLANTED is one of \(PlantedBug.all.map(\.description))")
  }
  return FuzzSession(FuzzTarget("Planted", [planted.trial]))
}()

/// libFuzzer's entry point. A divergence from the specification ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  if let divergence = session.run(UnsafeBufferPointer(start: data, count: size)) {
    fatalError("\(divergence)")
  }
  return 0
}
