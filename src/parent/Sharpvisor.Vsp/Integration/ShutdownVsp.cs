// The shutdown service: asks the guest's operating system to power off or reboot in good order (drivers/hv/hv_util.c,
// shutdown_onchannelcallback).
using System.Buffers.Binary;
using System.Text;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Ends the guest the way its own user would.</summary>
public sealed class ShutdownVsp : IntegrationService
{
    // struct shutdown_msg_data: reason_code, timeout_seconds, flags, display_message[2048].
    private const int MessageBytes = 12 + 2048;
    // SHTDN_REASON_FLAG_PLANNED of the Windows SDK.
    private const uint PlannedReason = 0x8000_0000;
    private const uint Force = 1;
    private const uint Restart = 2;

    public ShutdownVsp()
        : base(
            "shutdown",
            IcMessageType.Shutdown,
            (new("0e0b6031-5213-4934-818b-38d90ced39db"), new("b6650ff7-33bc-4840-8048-e0676786f393")),
            new(3, 2),
            new(3, 1),
            new(3, 0),
            new(1, 0))
    {
    }

    /// <summary>Asks the guest to power off. Returns when it has agreed to, long before it has.</summary>
    /// <exception cref="IntegrationException">It cannot be asked or refuses.</exception>
    public Task ShutdownAsync(bool force = false, CancellationToken cancellation = default) =>
        AskAsync(force ? Force : 0, "power off", cancellation);

    /// <summary>Asks the guest to reboot.</summary>
    /// <exception cref="IntegrationException">It cannot be asked or refuses.</exception>
    public Task RebootAsync(bool force = false, CancellationToken cancellation = default) =>
        AskAsync(Restart | (force ? Force : 0), "reboot", cancellation);

    private Task<byte[]> AskAsync(uint flags, string what, CancellationToken cancellation)
    {
        byte[] message = new byte[MessageBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(message, PlannedReason);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), flags);
        Encoding.Unicode.GetBytes($"The host asks to {what}", message.AsSpan(12));
        return DemandAsync(message, what, cancellation);
    }
}
