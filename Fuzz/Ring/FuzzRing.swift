// SPDX-License-Identifier: Apache-2.0

/// libFuzzer's entry point; replaced when the conformance driver lands.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt { 0 }
