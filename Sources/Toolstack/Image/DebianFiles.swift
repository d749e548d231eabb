// SPDX-License-Identifier: Apache-2.0

/// The texts of a small Debian: what boots it, and what it runs.
enum DebianFiles {
  /// GRUB's menu.
  static func menu(_ version: String) -> String {
    // Without noreplace-smp, a kernel that finds itself alone on one processor patches 8,700 places of itself.
    func entry(_ title: String, _ more: String) -> String {
      """
      menuentry '\(title)' {
        linux /boot/vmlinux-\(version) root=/dev/xvda console=hvc0 noreplace-smp quiet\(more)
        initrd /boot/initrd-\(version)
      }
      """
    }
    return """
      set timeout=5
      set default=0
      \(entry("Debian, Linux \(version): a shell", ""))
      \(entry("Debian, Linux \(version): a single run, then power off", " lockstep.single"))

      """
  }

  /// `/init` of the initial RAM disk: it finds the root and goes over to it.
  static let initialProgram = """
    #!/bin/busybox sh
    /bin/busybox --install -s /bin
    export PATH=/bin
    mount -t devtmpfs dev /dev
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    for module in /*.ko; do insmod "$module"; done
    disk=
    for word in $(cat /proc/cmdline); do
      case $word in root=*) disk=${word#root=} ;; esac
    done
    for turn in $(seq 100); do
      [ -b "$disk" ] && break
      sleep 0.1
    done
    if mount -t ext4 "$disk" /root && [ -x /root/sbin/init -o -L /root/sbin/init ]; then
      for folder in dev proc sys; do mount --move "/$folder" "/root/$folder"; done
      exec switch_root /root /sbin/init
    fi
    echo "No root file system on '$disk'. Here is a shell; its end switches off."
    setsid cttyhack sh
    poweroff -f

    """

  /// Files in `/etc`, by name.
  static let etc: [(name: String, text: String)] = [
    ("hostname", "debian\n"),
    ("passwd", "root::0:0:root:/root:/bin/sh\n"),
    ("group", "root:x:0:\n"),
    ("hosts", "127.0.0.1 localhost debian\n"),
    ("fstab", "/dev/xvda / ext4 defaults 0 1\n"),
    ("profile", "export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root PS1='\\h# '\ncd\n"),
    (
      "inittab",
      """
      ::sysinit:/etc/startup
      hvc0::respawn:-/bin/sh
      ::ctrlaltdel:/sbin/reboot
      ::shutdown:/bin/sync
      ::shutdown:/bin/umount -a -r -t ext4

      """
    ),
    ("startup", startup), ("udhcpc.script", leaseProgram),
  ]

  /// What init runs first.
  private static let startup = """
    #!/bin/sh
    export PATH=/bin:/sbin:/usr/bin:/usr/sbin
    mount -o remount,rw /
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /tmp
    hostname -F /etc/hostname
    ip link set lo up
    if [ -e /sys/class/net/eth0 ]; then
      ip link set eth0 up
      udhcpc -i eth0 -q -n -t 5 -T 1 -s /etc/udhcpc.script >/dev/null 2>&1 || echo "eth0: nobody offers an address"
    fi
    echo
    echo "$(uname -sr) from $(awk '$2 == "/" && $1 != "rootfs" { print $1, $3 }' /proc/mounts)," \\
      "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB. To end it: poweroff"
    if grep -q -w lockstep.single /proc/cmdline; then
      df -h /
      poweroff
    fi

    """

  /// What udhcpc runs when it has an address.
  private static let leaseProgram = """
    #!/bin/sh
    case $1 in
      deconfig) ip addr flush dev "$interface" ;;
      bound | renew)
        ip addr flush dev "$interface"
        ip addr add "$ip/${mask:-24}" dev "$interface"
        for gateway in $router; do ip route add default via "$gateway" dev "$interface" && break; done
        for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
        ;;
    esac

    """
}
