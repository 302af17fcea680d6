// What all integration services have in common: the offer, the negotiated versions, and requests in turn. The other end is
// drivers/hv/hv_util.c and its siblings.
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Integration;

/// <summary>An integration service on VMBus. Thread-safe; survives that the guest loads its driver anew.</summary>
public abstract class IntegrationService : IVmbusDevice, IDisposable
{
    /// <summary>VMBUS_PIPE_TYPE_MESSAGE, the first word of a pipe's offer data.</summary>
    private const byte MessagePipe = 4;

    /// <summary>hv_utils gives its daemons 30 s (HV_UTIL_TIMEOUT) before it answers for them.</summary>
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(40);

    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly Lock _lock = new();
    private readonly IcVersion[] _versions;
    private readonly IcMessageType _type;
    private IcChannel? _channel;
    private TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="name">Of the offer.</param>
    /// <param name="type">Of its requests.</param>
    /// <param name="ids">Interface and instance, Hyper-V's own.</param>
    /// <param name="versions">Message versions, any order: the guest picks the newest it knows.</param>
    private protected IntegrationService(string name, IcMessageType type, (Guid Interface, Guid Instance) ids, params IcVersion[] versions)
    {
        _type = type;
        _versions = versions;
        Offer = new VmbusOffer
        {
            Name = name,
            InterfaceId = ids.Interface,
            InstanceId = ids.Instance,
            Flags = OfferFlags.EnumerateDeviceInterface | OfferFlags.NamedPipeMode,
            UserData = new byte[] { MessagePipe, 0, 0, 0 },
        };
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    public IntegrationState State { get; private set; }

    /// <summary>The message version agreed on; meaningful while <see cref="State"/> is Running.</summary>
    public IcVersion Version { get; private set; }

    internal ReadOnlySpan<IcVersion> Versions => _versions;

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new IcChannel(this);
        lock (_lock)
        {
            _channel = opened;
            State = IntegrationState.Negotiating;
        }

        return opened;
    }

    /// <summary>Returns when the guest's end runs (for KVP, VSS and file copy: its daemon too).</summary>
    public Task WaitUntilRunningAsync(CancellationToken cancellation = default)
    {
        lock (_lock)
        {
            return _ready.Task.WaitAsync(cancellation);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    internal void ChannelReady(IcChannel channel, IcVersion version)
    {
        lock (_lock)
        {
            if (_channel != channel)
            {
                return;
            }

            Version = version;
            State = IntegrationState.Running;
            _ready.TrySetResult();
        }

        OnRunning();
    }

    internal void ChannelRefused(IcChannel channel)
    {
        lock (_lock)
        {
            State = _channel == channel ? IntegrationState.Refused : State;
        }
    }

    internal void ChannelClosed(IcChannel channel)
    {
        lock (_lock)
        {
            if (_channel != channel)
            {
                return;
            }

            _channel = null;
            State = IntegrationState.NotConnected;
            if (_ready.Task.IsCompleted)
            {
                _ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        OnStopped();
    }

    /// <summary>The versions are agreed on; on the channel's worker.</summary>
    private protected virtual void OnRunning()
    {
    }

    /// <summary>The guest closed the channel, or was reset.</summary>
    private protected virtual void OnStopped()
    {
    }

    private protected virtual void Dispose(bool disposing) => _turn.Dispose();

    /// <summary>Asks the guest, after whoever asked before, and waits for its answer.</summary>
    /// <exception cref="IntegrationException">There is nobody to ask, or no answer.</exception>
    private protected async Task<IcReply> RequestAsync(ReadOnlyMemory<byte> body, CancellationToken cancellation, TimeSpan? timeout = null)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            IcChannel channel = Running();
            try
            {
                return await channel.BeginRequest(_type, body.Span).WaitAsync(timeout ?? s_timeout, cancellation);
            }
            catch (TimeoutException)
            {
                throw new IntegrationException($"{Offer.Name}: the guest does not answer");
            }
            finally
            {
                channel.Abandon();
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>As <see cref="RequestAsync"/>; an answer other than S_OK is an exception.</summary>
    private protected async Task<byte[]> DemandAsync(
        ReadOnlyMemory<byte> body, string what, CancellationToken cancellation, TimeSpan? timeout = null)
    {
        IcReply reply = await RequestAsync(body, cancellation, timeout);
        return reply.Status == IcStatus.Ok
            ? reply.Body
            : throw new IntegrationException($"{Offer.Name}: the guest refused to {what} (status {reply.Status:x8})", reply.Status);
    }

    private IcChannel Running()
    {
        lock (_lock)
        {
            return State switch
            {
                IntegrationState.Running => _channel!,
                IntegrationState.Negotiating => throw new IntegrationException(
                    $"{Offer.Name}: the guest's driver has not answered yet (is its daemon running?)", IcStatus.NotSupported),
                IntegrationState.Refused => throw new IntegrationException(
                    $"{Offer.Name}: the guest knows none of the versions offered", IcStatus.NotSupported),
                _ => throw new IntegrationException($"{Offer.Name}: the guest has no driver for it loaded", IcStatus.NotSupported),
            };
        }
    }
}
