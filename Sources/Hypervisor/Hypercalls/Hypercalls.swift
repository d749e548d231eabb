// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The arguments of a hypercall: rdi, rsi, rdx, r10, r8.
struct HypercallArguments {
  var first: UInt64
  var second: UInt64
  var third: UInt64
  var fourth: UInt64
  var fifth: UInt64

  init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64, _ fifth: UInt64) {
    self.first = first
    self.second = second
    self.third = third
    self.fourth = fourth
    self.fifth = fifth
  }
}

extension Processor {
  /// Executes a hypercall with the domain's lock held; the result is the guest's rax.
  func hypercall(_ number: UInt64, _ arguments: HypercallArguments, inMulticall: Bool = false) -> Int64 {
    statistics.count(hypercall: number)
    guard let hypercall = HypercallNumber(rawValue: number) else {
      return HypercallError.notImplemented.rawValue
    }
    do throws(HypercallError) {
      return try dispatch(hypercall, arguments, inMulticall: inMulticall)
    } catch { return error.rawValue }
  }

  private func dispatch(_ hypercall: HypercallNumber, _ arguments: HypercallArguments, inMulticall: Bool)
    throws(HypercallError) -> Int64
  {
    switch hypercall {
    case .memoryOperation: return try memoryOperation(arguments.first, arguments.second)
    case .setTimer: return setTimer(arguments.first)
    case .version: return try version(arguments.first, arguments.second)
    case .consoleIO: return try consoleIO(arguments)
    case .grantTableOperation: return try grantTableOperation(arguments)
    case .virtualCPUOperation: return try virtualCPUOperation(arguments)
    case .schedulerOperation: return try schedulerOperation(arguments.first, arguments.second)
    case .eventChannelOperation: return try eventChannelOperation(arguments.first, arguments.second)
    case .multicall where inMulticall: throw .invalid
    default: return try specialHypercall(hypercall, arguments)
    }
  }

  /// Does something for each element of a guest's list, as long as the domain lives.
  ///
  /// A list may be long: it costs its own domain's time alone, and ends when the domain is ended.
  /// - Parameter isOver: ends the list early.
  func forEach(
    _ count: UInt64, until isOver: () -> Bool = { false },
    _ body: (UInt64) throws(HypercallError) -> Void
  ) throws(HypercallError) {
    var index: UInt64 = 0
    while index < count, !isOver() {
      if index & 63 == 63, domain.hasEnded { throw .tryAgain }
      try body(index)
      index += 1
    }
  }

  /// Resolves DOMID_SELF; a guest has no say in another domain.
  func requireSelf(_ domain: DomainID) throws(HypercallError) {
    guard domain == .current || domain == self.domain.id else { throw .notPermitted }
  }

  /// A vCPU of this domain by number.
  func peer(_ number: UInt64) throws(HypercallError) -> Processor {
    guard number < UInt64(domain.processors.count) else { throw .noEntry }
    return domain.processors[Int(number)]
  }
}
