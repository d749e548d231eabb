// SPDX-License-Identifier: Apache-2.0

import HostileInputs

/// libFuzzer's entry point. What does not hold of a guest's store ring ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  if let complaint = StoreScript.run(UnsafeBufferPointer(start: data, count: size)) {
    fatalError(complaint)
  }
  return 0
}
