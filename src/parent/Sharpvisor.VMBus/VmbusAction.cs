// What the state machine wants done. The composition (VmbusServer) does it, in order.
namespace Sharpvisor.VMBus;

internal enum VmbusActionKind
{
    /// <summary>Post <see cref="VmbusAction.Message"/> to <see cref="VmbusAction.Vp"/> and <see cref="VmbusAction.Sint"/>.</summary>
    Send,
    /// <summary>Drop what is queued for the guest: the connection it belonged to is gone.</summary>
    DiscardMessages,
    /// <summary>Open the rings, ask the device, answer with <see cref="VmbusServerState.OpenCompleted"/>.</summary>
    Open,
    /// <summary>Stop the channel, answer with <see cref="VmbusServerState.CloseCompleted"/>.</summary>
    Close,
    /// <summary>Interrupts of the channel go to <see cref="VmbusAction.Vp"/> from now on.</summary>
    SetTargetVp,
    /// <summary>A reset that was asked for is complete.</summary>
    ResetComplete,
    /// <summary>The guest connects to <see cref="VmbusAction.Socket"/>; an offer, or <see cref="VmbusServerState.RefuseConnect"/>, answers it.</summary>
    ConnectSocket,
}

/// <summary>Both ends of a Hyper-V socket's connection: the guest's endpoint and the service it is for.</summary>
internal readonly record struct SocketAddresses(Guid EndpointId, Guid ServiceId);

/// <summary>One action.</summary>
internal readonly record struct VmbusAction(
    VmbusActionKind Kind, byte[]? Message = null, uint Vp = 0, byte Sint = 0, OfferedChannel? Channel = null,
    SocketAddresses Socket = default);
