// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The code where SYSCALL arrives. On software KVM, where it runs at CPL 3, it does two hypercalls without an exit:
///  - an `mmu_update` of one entry, if the guest kernel could have stored the entry itself, or if the entry is already what
///    it is to be;
///  - `stack_switch`, which leaves a word in a page that the guest kernel may write.
///
/// It has no rights that the guest has not: it reads the request, and reads and stores the entry, through the guest's own
/// mappings, and what the guest makes of it by jumping into its middle, it could do without it. So nothing is to be trusted
/// for the sake of others. What is to be right is for the guest's own sake: that the entry goes where the hypercall would
/// have put it. The list of tables sees to that: see `UpdatableTables`. Whatever does not fit or faults takes the exit. So
/// do the system calls of guest users, who reach neither list nor page.
///
/// Of the flags, the arithmetic ones are lost, and of the hypercall's arguments their registers; no caller of a hypercall
/// relies on them.
enum UpdateStub {
  /// Bytes of one vCPU's code, which takes most of them.
  private static let size = 240
  /// Where the plain one lies, which always exits.
  private static let plainOffset = Domain.maximumVirtualCPUs * size
  static let plain = MonitorWindow.systemCall + UInt64(plainOffset)
  /// Where SYSCALL of 32-bit code arrives, on processors that have it; it always exits.
  static let compatibility = plain + 4

  /// Bytes of one vCPU's list: pairs of a table's machine address and what is to be added to it for the address of the
  /// guest's mapping, plus 1 if entries are only to be compared; the list ends with a zero in place of the latter.
  static let listSize = 128

  /// The landing place of a vCPU.
  static func address(of processor: Int) -> UInt64 { MonitorWindow.systemCall + UInt64(processor * size) }

  /// Places in the code.
  enum Label {
    case exit, afterExit
    /// An update begins: its arguments' registers are used for other things until they are restored.
    case update, next, found, restore
    case stored, compare
    case stackSwitch
    /// `stack_switch` stores what is then in rax.
    case storeStack
    case storedStack, end
  }

  /// What has become of a request when the stub was stopped.
  enum Progress {
    /// Nothing; the registers are as they came.
    case none
    /// Nothing; rax, rsi, rdx and r10 are not as they came, but what they held is known.
    case updateBegun
    /// Nothing; rax is not as it came, but what it held is known.
    case stackSwitchBegun
    /// All.
    case done
  }

  /// - Returns: nil if the address is not of a stub that may store.
  static func progress(at instruction: UInt64) -> Progress? {
    guard instruction >= MonitorWindow.systemCall, instruction < plain else { return nil }
    let offset = Int(instruction - MonitorWindow.systemCall) % size
    return regions.last { $0.begin <= offset }?.progress
  }

  /// What has become of a request, from each offset on.
  private static let regions: [(begin: Int, progress: Progress?)] = {
    let offsets = code(0).offsets
    let begins: [(Label?, Progress?)] = [
      (nil, Progress.none), (.afterExit, nil), (.update, .updateBegun), (.stored, .done),
      (.compare, .updateBegun), (.stackSwitch, Progress.none), (.storeStack, .stackSwitchBegun),
      (.storedStack, .done), (.end, nil),
    ]
    return begins.map { label, progress in (label.flatMap { offsets[$0] } ?? 0, progress) }
  }()

  static func write(_ bytes: UnsafeMutablePointer<UInt8>, updatesWithoutExit: Bool) {
    func put(_ code: [UInt8], at offset: Int) {
      for (index, byte) in code.enumerated() { bytes[offset + index] = byte }
    }
    put(exit + exit, at: plainOffset)
    for processor in 0..<Domain.maximumVirtualCPUs {
      let code = updatesWithoutExit ? code(processor).bytes : exit
      precondition(code.count <= size, "the stub is too long")
      put(code, at: processor * size)
    }
  }

  /// out %al, $port; ud2
  private static let exit: [UInt8] = [0xe6, UInt8(MonitorWindow.Port.systemCall), 0x0f, 0x0b]

  static func code(_ processor: Int) -> StubCode<Label> {
    var code = StubCode<Label>()
    addChecks(&code)
    addUpdate(&code, list: MonitorWindow.updatable + UInt64(processor * listSize))
    addStackSwitch(&code, place: MonitorWindow.kernelStacks + UInt64(processor * 8))
    code.mark(.end)
    code.finish()
    return code
  }

  private static func addChecks(_ code: inout StubCode<Label>) {
    code.add(0x48, 0x83, 0xf8, 0x03)  // cmp $3, %rax (stack_switch)
    code.jump(.ifEqual, to: .stackSwitch)
    code.add(0x48, 0x83, 0xf8, 0x01)  // cmp $1, %rax (mmu_update)
    code.jump(.ifNotEqual, to: .exit)
    code.add(0x48, 0x83, 0xfe, 0x01)  // cmp $1, %rsi (one request)
    code.jump(.ifNotEqual, to: .exit)
    code.add(0x48, 0x85, 0xd2)  // test %rdx, %rdx (done is not asked for)
    code.jump(.ifNotEqual, to: .exit)
    code.add(0x49, 0x81, 0xfa, 0xf0, 0x7f, 0x00, 0x00)  // cmp $DOMID_SELF, %r10
    code.jump(.ifNotEqual, to: .exit)
    code.add(0x41, 0xf7, 0xc3, 0x00, 0x45, 0x04, 0x00)  // test $(TF|DF|NT|AC), %r11d
    code.jump(.ifEqual, to: .update)
    code.mark(.exit)
    code.add(0xe6, UInt8(MonitorWindow.Port.systemCall))  // out %al, $port
    code.mark(.afterExit)
    code.add(0x0f, 0x0b)  // ud2
  }

  private static func addUpdate(_ code: inout StubCode<Label>, list: UInt64) {
    code.mark(.update)
    code.add(0x48, 0x8b, 0x37)  // mov (%rdi), %rsi
    code.add(0x48, 0x8b, 0x57, 0x08)  // mov 8(%rdi), %rdx
    code.add(0x49, 0xba, number: list)  // mov $list, %r10
    code.mark(.next)
    code.add(0x49, 0x83, 0x7a, 0x08, 0x00)  // cmpq $0, 8(%r10)
    code.jump(.ifEqual, to: .restore)
    code.add(0x48, 0x89, 0xf0, 0x49, 0x2b, 0x02)  // mov %rsi, %rax; sub (%r10), %rax
    code.add(0x48, 0x3d, 0x00, 0x10, 0x00, 0x00)  // cmp $4096, %rax
    code.jump(.ifBelow, to: .found)
    code.add(0x49, 0x83, 0xc2, 0x10)  // add $16, %r10
    code.jump(.always, to: .next)
    code.mark(.found)
    code.add(0xa8, 0x07)  // test $7, %al (another kind of request)
    code.jump(.ifNotEqual, to: .restore)
    code.add(0x49, 0x03, 0x72, 0x08)  // add 8(%r10), %rsi
    code.add(0x40, 0xf6, 0xc6, 0x01)  // test $1, %sil
    code.jump(.ifNotEqual, to: .compare)
    code.add(0x48, 0x89, 0x16)  // mov %rdx, (%rsi)
    code.mark(.stored)
    code.add(0x31, 0xc0, 0xff, 0xe1)  // xor %eax, %eax; jmp *%rcx
    code.mark(.compare)
    code.add(0x48, 0x39, 0x56, 0xff)  // cmp %rdx, -1(%rsi)
    code.jump(.ifEqual, to: .stored)
    code.mark(.restore)
    code.add(0xb8, 0x01, 0x00, 0x00, 0x00, 0x89, 0xc6)  // mov $1, %eax; mov %eax, %esi
    code.add(0x31, 0xd2)  // xor %edx, %edx
    code.add(0x41, 0xba, 0xf0, 0x7f, 0x00, 0x00)  // mov $DOMID_SELF, %r10d
    code.jump(.always, to: .exit)
  }

  private static func addStackSwitch(_ code: inout StubCode<Label>, place: UInt64) {
    code.mark(.stackSwitch)
    // The selector is none of the first three descriptors'. As a system call, 3 is Linux's close(), mostly of a low number.
    code.add(0x48, 0x83, 0xff, 0x18)  // cmp $24, %rdi
    code.jump(.ifBelow, to: .exit)
    code.add(0x41, 0xf7, 0xc3, 0x00, 0x45, 0x04, 0x00)  // test $(TF|DF|NT|AC), %r11d
    code.jump(.ifNotEqual, to: .exit)
    code.add(0x48, 0x89, 0xf0)  // mov %rsi, %rax
    code.mark(.storeStack)
    code.add(0x48, 0xa3, number: place)  // mov %rax, place
    code.mark(.storedStack)
    code.add(0x31, 0xc0, 0xff, 0xe1)  // xor %eax, %eax; jmp *%rcx
  }
}
