// SPDX-License-Identifier: Apache-2.0

import Conformance

private let trials = Trial.streams

/// libFuzzer's entry point. The first byte chooses the trial; the others are decoded into operations as the random
/// driver's are, and a divergence from the specification ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  guard let data, size > 1 else { return 0 }
  let bytes = Array(UnsafeBufferPointer(start: data, count: size))
  let trial = trials[Int(bytes[0]) % trials.count]
  if let divergence = trial.run(Array(bytes.dropFirst())).divergence { fatalError("\(divergence)") }
  return 0
}
