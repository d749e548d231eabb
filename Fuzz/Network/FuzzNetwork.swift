// SPDX-License-Identifier: Apache-2.0

import FakeGuests

/// libFuzzer's entry point. What does not hold of the network's back end ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  if let complaint = NetworkScript.run(UnsafeBufferPointer(start: data, count: size)) {
    fatalError(complaint)
  }
  return 0
}
