// SPDX-License-Identifier: Apache-2.0

import Conformance

/// libFuzzer calls from one thread.
nonisolated(unsafe) private let session = FuzzSession(.shadow)

/// libFuzzer's entry point. A divergence from the specification ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  if let divergence = session.run(UnsafeBufferPointer(start: data, count: size)) {
    fatalError("\(divergence)")
  }
  return 0
}
