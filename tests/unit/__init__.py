"""Tests in one process: single modules, and the routes through API Gateway events, with moto and the simulator."""
