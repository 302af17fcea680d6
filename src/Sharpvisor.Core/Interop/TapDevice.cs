// A TAP interface of the host (Documentation/networking/tuntap.rst): whole Ethernet frames through a file descriptor, each
// behind a virtio_net_hdr that says what is left to do on it.
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Sharpvisor.Core.Interop;

/// <summary>One open TAP interface. One thread reads, any thread writes.</summary>
public sealed unsafe partial class TapDevice : IDisposable
{
    /// <summary>virtio_net_hdr without its num_buffers.</summary>
    public const int HeaderBytes = 10;

    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int EACCES = 13;
    public const int EBUSY = 16;

    /// <summary>IFNAMSIZ less the terminator.</summary>
    public const int MaximumNameBytes = 15;

    private const int O_RDWR = 2;
    private const int O_CLOEXEC = 0x80000;
    private const int EFD_CLOEXEC = 0x80000;
    private const uint TUNSETIFF = 0x400454CA;
    private const uint TUNSETOFFLOAD = 0x400454D0;
    private const uint TUNSETVNETHDRSZ = 0x400454D8;
    private const ushort IFF_TAP = 2;
    private const ushort IFF_NO_PI = 0x1000;
    private const ushort IFF_VNET_HDR = 0x4000;
    private const uint TUN_F_CSUM = 1;
    private const uint TUN_F_TSO4 = 2;
    private const uint TUN_F_TSO6 = 4;
    private const short POLLIN = 1;
    private const int RequestBytes = 40;
    private const int FlagsOffset = 16;
    private readonly SafeFileHandle _device;
    private readonly SafeFileHandle _wake;

    private TapDevice(SafeFileHandle device, SafeFileHandle wake)
    {
        _device = device;
        _wake = wake;
    }

    /// <summary>Opens an interface, or creates it where that is allowed.</summary>
    /// <param name="error">When null is returned: the errno.</param>
    public static TapDevice? Open(string name, out int error)
    {
        var device = new SafeFileHandle(open("/dev/net/tun", O_RDWR | O_CLOEXEC), ownsHandle: true);
        if (device.IsInvalid)
        {
            error = Marshal.GetLastPInvokeError();
            return null;
        }

        // struct ifreq: a name of 16 bytes, then the flags.
        byte* request = stackalloc byte[RequestBytes];
        new Span<byte>(request, RequestBytes).Clear();
        Encoding.ASCII.GetBytes(name.AsSpan(0, Math.Min(name.Length, MaximumNameBytes)), new Span<byte>(request, MaximumNameBytes));
        *(ushort*)(request + FlagsOffset) = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        int headerBytes = HeaderBytes;
        if (ioctl(device, TUNSETIFF, request) != 0
            || ioctl(device, TUNSETVNETHDRSZ, &headerBytes) != 0
            || ioctlValue(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
        {
            error = Marshal.GetLastPInvokeError();
            device.Dispose();
            return null;
        }

        error = 0;
        return new TapDevice(device, new SafeFileHandle(eventfd(0, EFD_CLOEXEC), ownsHandle: true));
    }

    /// <summary>Waits for a frame. Returns the bytes of header and frame; 0 after <see cref="Wake"/>; negative when the interface is gone.</summary>
    public int Read(Span<byte> buffer)
    {
        bool device = false;
        bool wake = false;
        try
        {
            _device.DangerousAddRef(ref device);
            _wake.DangerousAddRef(ref wake);
            PollFd* poll = stackalloc PollFd[2];
            poll[0] = new PollFd { Fd = (int)_device.DangerousGetHandle(), Events = POLLIN };
            poll[1] = new PollFd { Fd = (int)_wake.DangerousGetHandle(), Events = POLLIN };

            // SAFETY: two structures of this stack frame, and a buffer that is pinned while it is read into.
            if (ppoll(poll, 2, null, null) <= 0)
            {
                return Marshal.GetLastPInvokeError() == HostFile.EINTR ? Read(buffer) : -1;
            }

            if (poll[1].Returned != 0)
            {
                return 0;
            }

            fixed (byte* bytes = buffer)
            {
                nint count = read(poll[0].Fd, bytes, (nuint)buffer.Length);
                return count > 0 ? (int)count : -1;
            }
        }
        finally
        {
            if (device)
            {
                _device.DangerousRelease();
            }

            if (wake)
            {
                _wake.DangerousRelease();
            }
        }
    }

    /// <summary>Sends a frame behind its header (10 bytes, then Ethernet); a frame the host cannot take is dropped.</summary>
    public void Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> frame)
    {
        fixed (byte* headerBytes = header)
        {
            fixed (byte* frameBytes = frame)
            {
                // SAFETY: both are pinned during the call.
                IoVector* vectors = stackalloc IoVector[2];
                vectors[0] = new IoVector(headerBytes, (nuint)header.Length);
                vectors[1] = new IoVector(frameBytes, (nuint)frame.Length);
                _ = writev(_device, vectors, 2);
            }
        }
    }

    /// <summary>Ends the current read and all that follow.</summary>
    public void Wake()
    {
        ulong one = 1;

        // SAFETY: eight bytes of this stack frame.
        _ = write(_wake, &one, sizeof(ulong));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _device.Dispose();
        _wake.Dispose();
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle fd, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int ioctlValue(SafeFileHandle fd, nuint request, nuint argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ppoll(PollFd* descriptors, nuint count, void* timeout, void* signals);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int fd, void* buffer, nuint bytes);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(SafeFileHandle fd, void* buffer, nuint bytes);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint writev(SafeFileHandle fd, IoVector* vectors, int count);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct IoVector(byte* address, nuint length)
    {
        public readonly byte* Address = address;
        public readonly nuint Length = length;
    }
}
