"""The child processes of the driver of `goald serve`: they are started, observed and restarted, and
end with the driver."""
