// SPDX-License-Identifier: Apache-2.0

import FakeGuests

/// libFuzzer's entry point. What does not hold of a disk's back end ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  do {
    if let complaint = try BlockScript.run(UnsafeBufferPointer(start: data, count: size)) {
      fatalError(complaint)
    }
  } catch {
    fatalError("there is no disk: \(error)")
  }
  return 0
}
